"""What a job's owner and the log may see of a tracker's error."""

import os
import re

from cluster.tracking.run import TrackerError

_LONGEST = 300
_SECRET = re.compile(r"KEY|TOKEN|PASSWORD|SECRET", re.IGNORECASE)
_LOGIN = re.compile(r"(?<=://)[^/\s@]+@")


def reason_for(error: Exception) -> str:
    """Returns a sentence for the job's owner."""
    if isinstance(error, TrackerError):
        return without_secrets(str(error))
    if isinstance(error, ImportError):
        return f"The cluster does not have its package ({error.name})."
    text = " ".join(str(error).split())
    return shortened(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def shortened(text: str) -> str:
    """Returns the shortened text. Secrets are removed first, because a truncated one would not be found."""
    text = without_secrets(text)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " …"


def without_secrets(text: str) -> str:
    """Removes the values of this process's variables whose names suggest secrets, and names and passwords in
    URLs."""
    for name, value in os.environ.items():
        if _SECRET.search(name) and len(value) >= 4:
            text = text.replace(value, "***")
    return _LOGIN.sub("***@", text)
