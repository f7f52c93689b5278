"""A base's folder, read with transformers.

transformers imports its parts when they are first asked for. Two threads that ask at once can each find a
part half imported ("cannot import name 'AutoTokenizer'"), so whatever may import does so under LOADING.
"""

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from cluster.bases.text.chat_template import ChatTemplate
from cluster.contracts.errors import InvalidRequest

LOADING = threading.RLock()
"""Held around every `from_pretrained` and `from_config`. Those of models also switch weight tying,
initialisation and torch's default type off and on for the whole process: of two at once, one can be left with
weights missing, and the process with the other one's type."""


def read_tokenizer(folder: Path) -> Any:
    """A tokenizer of its own for the caller: padding and truncation are its state."""
    with LOADING:
        # Here, because it takes seconds to import and most of the cluster's processes never need it.
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def read_config(folder: Path) -> Any:
    with LOADING:
        from transformers import AutoConfig

        return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def stop_tokens(folder: Path, tokenizer: Any) -> frozenset[int]:
    """All that ends an answer of the base in `folder`, and of every model that is tuned from it: what its
    generation configuration names, the tokenizer's end of text, and what ends a turn in its chat template."""
    named = _generation_config(folder).eos_token_id
    listed = named if isinstance(named, list) else [named]
    tokens = {token for token in [*listed, tokenizer.eos_token_id] if token is not None}
    # Without a template, or with one that refuses every conversation, a model continues plain prompts.
    with suppress(InvalidRequest):
        tokens |= ChatTemplate(tokenizer).end_token_ids
    return frozenset(tokens)


def _generation_config(folder: Path) -> Any:
    with LOADING:
        from transformers import GenerationConfig

        if (folder / "generation_config.json").is_file():
            return GenerationConfig.from_pretrained(folder, local_files_only=True)
        return GenerationConfig.from_model_config(read_config(folder))
