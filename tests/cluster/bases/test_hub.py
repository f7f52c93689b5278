import errno
import os

import pytest
from huggingface_hub.errors import NotASafetensorsRepoError, SafetensorsParsingError, XetDownloadError

from cluster.bases.hub import why_failed

FULL = os.strerror(errno.ENOSPC)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NotASafetensorsRepoError("..."), "a/b has no weights as safetensors"),
        (SafetensorsParsingError("..."), "a/b has files of weights that cannot be read as safetensors"),
        (OSError(errno.ENOSPC, FULL), "a/b cannot be downloaded: the disk of HF_HOME is full"),
        (OSError(errno.EDQUOT, "..."), "a/b cannot be downloaded: the disk of HF_HOME is full"),
        (RuntimeError(f"IO error: {FULL} (os error 28)"), "the disk of HF_HOME is full"),
        (XetDownloadError("..."), "a/b cannot be downloaded from the hub (XetDownloadError)"),
        (RuntimeError("..."), "a/b cannot be downloaded from the hub (RuntimeError)"),
        (ConnectionError("..."), "a/b cannot be downloaded from the hub (ConnectionError)"),
    ],
)
def test_the_hubs_errors_are_put_into_words(error: Exception, expected: str) -> None:
    assert expected in (why_failed(error, "a/b") or "")


def test_an_error_of_our_own_is_not_blamed_on_the_hub() -> None:
    assert why_failed(AssertionError("ours"), "a/b") is None
