"""The dashboard's files as they are sent: built from `clients/dashboard` by Vite, and shipped in the package.

A name that contains a hash of the content never changes, so browsers keep that file for a year. The page
itself is requested again each time, and answered with 304 if it is the same."""

import gzip
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

PAGE = "index.html"
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        # Svelte uses this to make its own templates. Users' text never becomes markup.
        "trusted-types svelte-trusted-html",
    )
)
_SECURITY_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}
_HASHED = re.compile(r"assets/.+-[\w-]{8}\.\w+")


@dataclass(frozen=True)
class StaticFile:
    content: bytes
    zipped: bytes
    etag: str
    headers: Mapping[str, str]
    """All headers except those that depend on the request."""


@cache
def static_files() -> Mapping[str, StaticFile]:
    """Files by path. The page's path is `/`. Empty in a clone without a build."""
    root = resources.files("service.dashboard") / "static"
    return {f"/{'' if name == PAGE else name}": _file(name, item) for name, item in _walk(root)}


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, Traversable]]:
    for item in folder.iterdir() if folder.is_dir() else ():
        if item.is_dir():
            yield from _walk(item, f"{prefix}{item.name}/")
        else:
            yield prefix + item.name, item


def _file(name: str, item: Traversable) -> StaticFile:
    content = item.read_bytes()
    caching = "public, max-age=31536000, immutable" if _HASHED.fullmatch(name) else "no-cache"
    return StaticFile(
        content=content,
        zipped=gzip.compress(content, mtime=0),
        etag=f'"{hashlib.sha256(content).hexdigest()[:32]}"',
        headers={
            **_SECURITY_HEADERS,
            "content-type": _TYPES[name.rpartition(".")[2]],
            "cache-control": caching,
            "vary": "accept-encoding",
        },
    )
