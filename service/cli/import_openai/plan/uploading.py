"""Uploads an archive's files to Tunery: each content only once, however often and under whatever ids it is
needed.

Existing files are recognized by their size and by the SHA-256 that the server reports. That needs no local
records, which a crash could lose."""

import hashlib
from collections import defaultdict
from pathlib import Path, PurePosixPath
from typing import Any

from service.cli.failures import CommandFailed
from service.cli.files.uploads import upload
from service.cli.import_openai.archive.archive import Archive, read_object
from service.cli.output import printable
from service.cli.remote import Api

_LONGEST_NAME = 200
"""Maximum number of characters."""


class Uploads:
    def __init__(self, api: Api, archive: Archive) -> None:
        self._api = api
        self._archive = archive
        self._uploaded: dict[str, str] = {}
        self._known: dict[int, list[dict[str, Any]]] | None = None
        self._digests: dict[str, str] = {}

    def id_of(self, old: str) -> str:
        """The new id of an old file. Raises CommandFailed if the archive has no such file, or if it is not a
        training file."""
        if old not in self._uploaded:
            path = self._archive.content(old)
            if path is None:
                raise CommandFailed(f"The archive does not have the content of {old}.")
            self._uploaded[old] = self._found_or_sent(path, self._name(old, path))
        return self._uploaded[old]

    def _found_or_sent(self, path: Path, name: str) -> str:
        if (found := self._find(path)) is None:
            try:
                found = upload(self._api, path, "fine-tune", name=name)
            except CommandFailed:
                # The file may exist all the same, with errors in it.
                self._known = None
                raise
            self._files()[found["bytes"]].append(found)
        if found["status"] == "error":
            raise CommandFailed(f"{path} cannot be used: {found.get('status_details')}")
        return str(found["id"])

    def _find(self, path: Path) -> dict[str, Any] | None:
        alike = self._files().get(path.stat().st_size)
        if not alike:
            return None
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return next((file for file in alike if self._sha256(file["id"]) == sha256), None)

    def _files(self) -> dict[int, list[dict[str, Any]]]:
        """Files of the plan by size."""
        if self._known is None:
            self._known = defaultdict(list)
            for file in self._api.list("/files", purpose="fine-tune"):
                self._known[file["bytes"]].append(file)
        return self._known

    def _sha256(self, id: str) -> str:
        if id not in self._digests:
            # Requesting the first byte is enough: the response identifies the whole content.
            with self._api.http.open("GET", f"/files/{id}/content", headers={"range": "bytes=0-0"}) as answer:
                self._digests[id] = answer.headers.get("etag", "").strip('"')
        return self._digests[id]

    def _name(self, old: str, path: Path) -> str:
        """The old file's own name, with the extension that the server requires."""
        described = self._archive.path("files", old, ".json")
        given = read_object(described).get("filename") if described.exists() else None
        plain = PurePosixPath(printable(str(given or "")).replace("\\", "/")).name.strip()
        return f"{plain.removesuffix('.jsonl')[:_LONGEST_NAME] or path.stem}.jsonl"
