"""A private nginx with the configuration that is shipped, names and paths put in."""

from __future__ import annotations

import base64
import grp
import hashlib
import os
import socket
from collections.abc import Mapping
from pathlib import Path

import requests

import snapshot_assets.deploy
from snapshot_assets_tests.support.servers import Server, find_program
from snapshot_assets_tests.support.topologies import self_signed

SHIPPED = Path(snapshot_assets.deploy.__file__).parent / "dashboard.nginx.conf"


class Nginx(Server):
    """The reverse proxy of the documentation: TLS, a login, and the dashboard under ``/usage/``.

    Args:
        folder: its own.
        dashboard_port: where the dashboard is, on 127.0.0.1.
        users: name to password.
    """

    def __init__(self, folder: Path, dashboard_port: int, users: Mapping[str, str]) -> None:
        super().__init__(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate, key = self_signed(folder)
        passwords = folder / "htpasswd"
        passwords.write_text("".join(f"{n}:{_hash(p)}\n" for n, p in users.items()))
        site = SHIPPED.read_text()
        for reported, ours in {
            "server 127.0.0.1:8050;": f"server 127.0.0.1:{dashboard_port};",
            "listen 443 ssl;": f"listen 127.0.0.1:{self.port} ssl;",
            "/etc/ssl/certs/stats.example.org.pem": str(self.certificate),
            "/etc/ssl/private/stats.example.org.key": str(key),
            "/etc/nginx/dashboard.htpasswd": str(passwords),
        }.items():
            assert site.count(reported) == 1, reported
            site = site.replace(reported, ours)
        (folder / "site.conf").write_text(site)
        kept = [
            f"{name}_temp_path {folder / name};"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        ]
        # The workers of root's nginx are others, who may not look into the tests' folders.
        user = f"user root {grp.getgrgid(0).gr_name};" if os.getuid() == 0 else ""
        (folder / "nginx.conf").write_text(
            f"daemon off;\n{user}\npid {folder / 'pid'};\nevents {{}}\n"
            f"http {{\naccess_log off;\n{' '.join(kept)}\ninclude {folder / 'site.conf'};\n}}\n"
        )

    def command(self) -> list[str]:
        """What to run."""
        own = str(self.folder)
        return [find_program("nginx"), "-p", own, "-c", f"{own}/nginx.conf", "-e", "stderr"]

    def is_ready(self) -> bool:
        """Whether somebody listens."""
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def get(
        self,
        path: str,
        login: tuple[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """What a browser gets here."""
        return requests.get(
            f"https://localhost:{self.port}{path}",
            auth=login,
            headers=headers,
            verify=str(self.certificate),
            allow_redirects=False,
            timeout=10,
        )


def _hash(password: str) -> str:
    """As nginx knows it without the system's crypt."""
    digest = hashlib.sha1(password.encode()).digest()
    return f"{{SHA}}{base64.b64encode(digest).decode()}"
