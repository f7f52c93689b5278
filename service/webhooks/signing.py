"""Signatures of webhooks, as OpenAI's SDKs verify them: https://www.standardwebhooks.com."""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence

_PREFIX = "whsec_"


def signed_headers(secrets: Sequence[str], *, event_id: str, at: float, body: str) -> Mapping[str, str]:
    """`webhook-id`, `webhook-timestamp` (Unix seconds) and `webhook-signature`, which has one signature for
    each secret, separated by spaces. A secret is `whsec_` and base64."""
    timestamp = str(int(at))
    content = f"{event_id}.{timestamp}.{body}".encode()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{_signature(secret, content)}" for secret in secrets),
    }


def _signature(secret: str, content: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(_PREFIX))
    return base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
