"""The command line as a person types it; each command is a process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


class Shell:
    """Runs ``snapshot-assets`` in a folder, with these settings."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.settings = {f"SNAPSHOT_{name}": value for name, value in settings.items()}

    def run(self, *arguments: str, code: int = 0, **settings: str) -> str:
        """Run a command, require the exit code and no traceback; return its output and errors."""
        more = {f"SNAPSHOT_{name}": value for name, value in settings.items()}
        done = subprocess.run(
            [sys.executable, "-m", "snapshot_assets.cli", *arguments],
            cwd=self.folder,
            env={**os.environ, "COLUMNS": "160", **self.settings, **more},
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )
        output = done.stdout + done.stderr
        assert done.returncode == code, output
        assert "Traceback" not in output
        return output
