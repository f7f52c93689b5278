"""Steps that the loaders of all backends share."""

from pathlib import Path
from typing import Any

from cluster.bases.resolve import base_digest, template_digest
from cluster.bases.text.chat_template import template_text


def base_digests(folder: Path, tokenizer: Any) -> dict[str, str]:
    """Returns the digests that tuned weights must have been trained with to fit this base, as keyword
    arguments of `WeightsFolder.lease`."""
    return {
        "base_digest": base_digest(folder),
        "template_digest": template_digest(template_text(tokenizer)),
    }
