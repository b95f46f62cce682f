"""The security headers of every answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import flask

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}
# All other answers show what people did.
_WITHOUT_DATA = re.compile(r"(text|application)/(css|javascript)|(image|font)/.*")


def content_security_policy(script_hashes: Iterable[str]) -> str:
    """The policy that lets a page load its own files and these inline scripts.

    Args:
        script_hashes: as ``'sha256-…'``, with the quotes.
    """
    rules = {
        "default-src": ["'self'"],
        "script-src": ["'self'", *script_hashes],
        # Plotly and AG Grid set styles of their own.
        "style-src": ["'self'", "'unsafe-inline'"],
        "img-src": ["'self'", "data:", "blob:"],
        "font-src": ["'self'", "data:"],
        "connect-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'self'"],
    }
    return "; ".join(" ".join([name, *sources]) for name, sources in rules.items())


def install_headers(server: flask.Flask, csp: Callable[[], str]) -> None:
    """Add the security headers to every answer.

    Args:
        server: the application.
        csp: returns the content security policy; called for each answer.
    """

    def protect(response: flask.Response) -> flask.Response:
        response.headers.update(_HEADERS)
        response.headers["Content-Security-Policy"] = csp()
        if not _WITHOUT_DATA.fullmatch(response.mimetype or ""):
            response.headers["Cache-Control"] = "no-store"
        return response

    server.after_request(protect)
