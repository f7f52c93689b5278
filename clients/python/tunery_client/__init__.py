"""Python client of Tunery, the fine-tuning API that you own.

from tunery_client import Tunery

tunery = Tunery("http://127.0.0.1:8000", api_key="tk-…")
file = tunery.files.upload("orders.jsonl")
job = tunery.jobs.create(model="tunery-tiny-1", training_file=file.id)
job = tunery.jobs.wait(job.id, on_event=lambda event: print(event.message))
answer = tunery.chat.create(model=job.fine_tuned_model, messages=[{"role": "user", "content": "order 7"}])

`AsyncTunery` has the same methods to be awaited.
"""

from tunery_client._async.client import AsyncTunery
from tunery_client._sync.client import Tunery
from tunery_client.errors import (
    ApiError,
    AuthenticationFailed,
    Conflict,
    ConnectionFailed,
    CorruptDownload,
    ExportFailed,
    InvalidRequest,
    MissingApiKey,
    NotFound,
    Overloaded,
    PermissionDenied,
    ServerError,
    TargetExists,
    TuneryError,
    UploadInterrupted,
    WaitTimeout,
)
from tunery_client.uploading import UploadProgress

__all__ = [
    "ApiError",
    "AsyncTunery",
    "AuthenticationFailed",
    "Conflict",
    "ConnectionFailed",
    "CorruptDownload",
    "ExportFailed",
    "InvalidRequest",
    "MissingApiKey",
    "NotFound",
    "Overloaded",
    "PermissionDenied",
    "ServerError",
    "TargetExists",
    "Tunery",
    "TuneryError",
    "UploadInterrupted",
    "UploadProgress",
    "WaitTimeout",
]
