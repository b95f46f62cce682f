"""A server for messages, as chat programs offer one."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


class Webhook:
    """A server that keeps the messages it gets, and answers with the code that the test sets."""

    def __init__(self) -> None:
        self.received: list[tuple[str, str | None, Any]] = []
        self.answer = 204
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                webhook.received.append((self.path, self.headers["Content-Type"], body))
                self.send_response(webhook.answer)
                if 300 <= webhook.answer < 400:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/services/s3cret?token=t0ken"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def messages(self) -> list[Any]:
        """The bodies received, oldest first."""
        return [body for _, _, body in self.received]
