"""Reads a base's folder with transformers.

transformers imports its modules lazily. Two threads that trigger the same import can find a half-imported
module ("cannot import name 'AutoTokenizer'"), so whatever may import does so under LOADING."""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cluster.bases.text.chat_template import ChatTemplate
from cluster.contracts.errors import CorruptArtefact, InvalidConfiguration, InvalidRequest

LOADING = threading.RLock()
"""Held around every `from_pretrained` and `from_config`. For models, these also switch weight tying,
initialisation and torch's default dtype off and on for the whole process. If two run at once, one can end up
without some weights, and the process with the other's dtype."""


def read_tokenizer(folder: Path) -> Any:
    """Reads a new tokenizer, which the caller owns: padding and truncation are part of its state. Raises
    InvalidConfiguration if transformers cannot read it."""
    with LOADING, _readable(folder, "tokenizer"):
        # Imported here because it takes seconds, and most of the cluster's processes never need it.
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def read_config(folder: Path) -> Any:
    """Reads a configuration. Raises InvalidConfiguration if transformers cannot read `config.json`, or does
    not know the model."""
    with LOADING, _readable(folder, "config.json"):
        from transformers import AutoConfig

        return AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)


def check_complete(loading: Mapping[str, Any]) -> None:
    """Checks what `from_pretrained` reports about loading. Raises CorruptArtefact if weights were missing
    from the folder: transformers initialises them at random and only logs it."""
    if missing := sorted(loading["missing_keys"]):
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise CorruptArtefact(f"The model's files lack the weights {', '.join(missing[:3])}{more}.")


def stop_tokens(folder: Path, tokenizer: Any) -> frozenset[int]:
    """Returns all tokens that end an answer of the base in `folder`, and of every model tuned from it: those
    in its generation configuration, the tokenizer's end of text, and those that end a turn in its chat
    template."""
    named = _generation_config(folder).eos_token_id
    listed = named if isinstance(named, list) else [named]
    tokens = {token for token in [*listed, tokenizer.eos_token_id] if token is not None}
    # A model without a template, or whose template refuses every conversation, continues plain prompts.
    with suppress(InvalidRequest):
        tokens |= ChatTemplate(tokenizer).end_token_ids
    return frozenset(tokens)


@contextmanager
def _readable(folder: Path, what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        reason = " ".join(_without_path(str(error), folder).split())[:300]
        raise InvalidConfiguration(
            f"transformers cannot read the model's {what}: {reason}", param="TUNERY_CATALOGUE"
        ) from error


def _without_path(message: str, folder: Path) -> str:
    """Removes the folder's path from the message, because only the operator may see paths. transformers makes
    relative paths absolute."""
    lexical = os.path.abspath(folder)  # noqa: PTH100 - unlike resolve(), it follows no link
    names = {str(folder), str(folder.absolute()), str(folder.resolve()), lexical}
    # The longest comes first, because it may end in the others.
    for path in sorted(names, key=len, reverse=True):
        message = message.replace(path, folder.name)
    return message


def _generation_config(folder: Path) -> Any:
    with LOADING:
        from transformers import GenerationConfig

        if (folder / "generation_config.json").is_file():
            return GenerationConfig.from_pretrained(folder, local_files_only=True)
        return GenerationConfig.from_model_config(read_config(folder))
