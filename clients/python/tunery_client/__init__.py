"""Python client of Tunery, the fine-tuning API that you own.

from tunery_client import Tunery

tunery = Tunery("http://127.0.0.1:8000", api_key="tk-…")
file = tunery.files.upload("orders.jsonl")
job = tunery.jobs.create(model="tunery-tiny-1", training_file=file.id)
job = tunery.jobs.wait(job.id, on_event=lambda event: print(event.message))
answer = tunery.chat.create(model=job.fine_tuned_model, messages=[{"role": "user", "content": "order 7"}])
"""

from tunery_client.client import Tunery
from tunery_client.errors import (
    ApiError,
    AuthenticationFailed,
    Conflict,
    ConnectionFailed,
    InvalidRequest,
    NotFound,
    Overloaded,
    PermissionDenied,
    ServerError,
    TuneryError,
    WaitTimeout,
)

__all__ = [
    "ApiError",
    "AuthenticationFailed",
    "Conflict",
    "ConnectionFailed",
    "InvalidRequest",
    "NotFound",
    "Overloaded",
    "PermissionDenied",
    "ServerError",
    "Tunery",
    "TuneryError",
    "WaitTimeout",
]
