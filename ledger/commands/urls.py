"""Addresses of nodes as people type them."""

from __future__ import annotations

from urllib.parse import urlsplit

import typer


def require_url(url: str) -> None:
    """Refuse what is no address of an API, before a library stumbles over it."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and url.isascii() and url.isprintable()
        fits = fits and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise typer.BadParameter(f"{url!r} is no URL of a node's API; it reads like http://127.0.0.1:9933")
