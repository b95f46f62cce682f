"""A private nginx with the shipped configuration, in which names and paths are replaced."""

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
        folder: the server's folder.
        dashboard_port: the dashboard's port on 127.0.0.1.
        users: user name to password.
    """

    def __init__(self, folder: Path, dashboard_port: int, users: Mapping[str, str]) -> None:
        super().__init__(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate, key = self_signed(folder)
        passwords = folder / "htpasswd"
        passwords.write_text("".join(f"{n}:{_hash(p)}\n" for n, p in users.items()))
        site = SHIPPED.read_text()
        for shipped, private in {
            "server 127.0.0.1:8050;": f"server 127.0.0.1:{dashboard_port};",
            "listen 443 ssl;": f"listen 127.0.0.1:{self.port} ssl;",
            "/etc/ssl/certs/stats.example.org.pem": str(self.certificate),
            "/etc/ssl/private/stats.example.org.key": str(key),
            "/etc/nginx/dashboard.htpasswd": str(passwords),
        }.items():
            assert site.count(shipped) == 1, shipped
            site = site.replace(shipped, private)
        (folder / "site.conf").write_text(site)
        kept = [
            f"{name}_temp_path {folder / name};"
            for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        ]
        # By default, the workers of root's nginx run as a user who cannot read the tests' folders.
        user = f"user root {grp.getgrgid(0).gr_name};" if os.getuid() == 0 else ""
        (folder / "nginx.conf").write_text(
            f"daemon off;\n{user}\npid {folder / 'pid'};\nevents {{}}\n"
            f"http {{\naccess_log off;\n{' '.join(kept)}\ninclude {folder / 'site.conf'};\n}}\n"
        )

    def command(self) -> list[str]:
        """The command that runs the server."""
        own = str(self.folder)
        return [find_program("nginx"), "-p", own, "-c", f"{own}/nginx.conf", "-e", "stderr"]

    def is_ready(self) -> bool:
        """Whether the port accepts connections."""
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
        """The response to a GET request from a browser."""
        return requests.get(
            f"https://localhost:{self.port}{path}",
            auth=login,
            headers=headers,
            verify=str(self.certificate),
            allow_redirects=False,
            timeout=10,
        )


def _hash(password: str) -> str:
    """The password's hash in a form that nginx reads without the system's crypt."""
    digest = hashlib.sha1(password.encode()).digest()
    return f"{{SHA}}{base64.b64encode(digest).decode()}"
