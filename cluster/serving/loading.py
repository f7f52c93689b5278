"""What every loader of models does, whatever runs them."""

import threading
from pathlib import Path
from typing import Any

from cluster.bases.chat_template import template_text
from cluster.bases.resolve import base_digest, template_digest

ONE_AT_A_TIME = threading.Lock()
"""Held around every `from_pretrained` and `from_config` of a model. They switch weight tying, initialisation
and torch's default type off and on for the whole process: of two at once, one can be left with weights
missing, and the process with the other one's type."""


def base_marks(folder: Path, tokenizer: Any) -> dict[str, str]:
    """What weights must have been trained on to fit this base, as `WeightsFolder.borrowed` takes it."""
    return {
        "base_digest": base_digest(folder),
        "template_digest": template_digest(template_text(tokenizer)),
    }
