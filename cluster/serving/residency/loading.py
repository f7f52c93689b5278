"""What every loader of models does, whatever runs them."""

from pathlib import Path
from typing import Any

from cluster.bases.resolve import base_digest, template_digest
from cluster.bases.text.chat_template import template_text


def base_digests(folder: Path, tokenizer: Any) -> dict[str, str]:
    """What weights must have been trained on to fit this base, as `WeightsFolder.lease` takes it."""
    return {
        "base_digest": base_digest(folder),
        "template_digest": template_digest(template_text(tokenizer)),
    }
