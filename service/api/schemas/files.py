"""Files: the public objects."""

from typing import Literal

from typing_extensions import TypeAliasType

from service.api.schemas.base import Answer

UploadPurpose = TypeAliasType(
    "UploadPurpose", Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]
)
FilePurpose = TypeAliasType(
    "FilePurpose",
    Literal["assistants", "batch", "fine-tune", "fine-tune-results", "vision", "user_data", "evals"],
)
"""Purposes of uploads, and of files that jobs write."""
ListedPurpose = TypeAliasType(
    "ListedPurpose",
    Literal[
        "assistants",
        "assistants_output",
        "batch",
        "batch_output",
        "fine-tune",
        "fine-tune-results",
        "vision",
        "user_data",
        "evals",
    ],
)
"""Also those of files that only OpenAI writes: there are none here."""


class FileObject(Answer):
    id: str
    object: Literal["file"] = "file"
    bytes: int
    created_at: int
    expires_at: int | None = None
    filename: str
    purpose: FilePurpose
    status: Literal["uploaded", "processed", "error"]
    status_details: str | None = None
    """Why the file cannot be used: line numbers, counted from 1, and the rules that the lines break."""


class FileList(Answer):
    object: Literal["list"] = "list"
    data: list[FileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool
