"""The tokenizer of a GGUF file: byte-level BPE, or SentencePiece's BPE with bytes."""

import json
from pathlib import Path
from typing import Any

from cluster.bases.pretrained import stop_tokens
from cluster.contracts.errors import InvalidRequest
from cluster.exporting.tensors import not_available

_WORD = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SPLITS = {
    _WORD + r"\p{N}{1,3}" + _REST: "llama-bpe",
    _WORD + r"\p{N}" + _REST: "qwen2",
    (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|"
        r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ): "tekken",
}
"""llama.cpp's names of the patterns that split a text before byte pairs are merged. It knows patterns only by
name, so any other pattern cannot be exported."""


def describe_vocabulary(tokenizer: Any, folder: Path, rows: int, writer: Any) -> None:
    """Writes tokens, merges, special tokens and chat template into `writer`, a GGUFWriter. `folder` holds
    what `tokenizer.save_pretrained` wrote, and the model's configuration; `rows` is the number of embeddings.

    Raises InvalidRequest (`format_not_available`) if llama.cpp would tokenize texts differently."""
    from gguf import SpecialVocab

    file = folder / "tokenizer.json"
    saved = json.loads(file.read_bytes()) if file.is_file() else {}
    model = saved.get("model", {})
    if model.get("type") != "BPE":
        raise not_available("its tokenizer is no BPE tokenizer")
    if len(tokenizer) > rows:
        raise not_available("its tokenizer has more tokens than the model has embeddings")
    special = SpecialVocab(folder, load_merges=not model.get("byte_fallback"), n_vocab=rows)
    special.add_special_token = _ends_added(tokenizer)
    tokens, types = _tokens(tokenizer, saved, rows)
    if model.get("byte_fallback"):
        _check_sentence_piece(saved)
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_scores(_scores(tokens, model["merges"]))
        writer.add_add_space_prefix(_adds_space(saved))
    else:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(_pre_tokenizer(saved))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    special.add_to_gguf(writer, quiet=True)
    others = stop_tokens(folder, tokenizer) - {tokenizer.eos_token_id}
    if others:
        writer.add_eot_token_id(min(others))


def _tokens(tokenizer: Any, saved: dict[str, Any], rows: int) -> tuple[list[str], list[int]]:
    """Returns the tokens by id and their types. Embeddings without a token get one that no text contains."""
    from gguf import TokenType

    names = [f"[PAD{number}]" for number in range(rows)]
    types = [TokenType.UNUSED] * rows
    has_bytes = bool(saved["model"].get("byte_fallback"))
    for text, number in tokenizer.get_vocab().items():
        is_byte = has_bytes and len(text) == 6 and text.startswith("<0x") and text.endswith(">")
        names[number] = text
        types[number] = TokenType.BYTE if is_byte else TokenType.NORMAL
    for token in saved.get("added_tokens", []):
        types[token["id"]] = TokenType.CONTROL if token["special"] else TokenType.USER_DEFINED
    if has_bytes and (unknown := tokenizer.unk_token_id) is not None:
        types[unknown] = TokenType.UNKNOWN
    return names, [int(kind) for kind in types]


def _scores(tokens: list[str], merges: list[Any]) -> list[float]:
    """Returns scores of the tokens. SentencePiece merges the pair whose result has the highest score: the
    earlier a merge, the higher."""
    ranks: dict[str, int] = {}
    for rank, merge in enumerate(merges):
        ranks.setdefault("".join(merge.split(" ") if isinstance(merge, str) else merge), rank)
    return [-float(ranks.get(token, len(merges))) for token in tokens]


def _ends_added(tokenizer: Any) -> dict[str, bool]:
    """Returns whether the tokenizer itself begins and ends texts with a special token."""
    ids = tokenizer("a")["input_ids"]
    return {
        "bos": tokenizer.bos_token_id is not None and ids[0] == tokenizer.bos_token_id,
        "eos": tokenizer.eos_token_id is not None and ids[-1] == tokenizer.eos_token_id,
    }


def _adds_space(saved: dict[str, Any]) -> bool:
    """Whether a text is tokenized as if a space preceded it."""
    steps = [*_steps(saved.get("normalizer")), *_steps(saved.get("pre_tokenizer"))]
    return any(
        step["type"] == "Prepend"
        or (step["type"] == "Metaspace" and step.get("prepend_scheme", "always") != "never")
        for step in steps
    )


def _check_sentence_piece(saved: dict[str, Any]) -> None:
    """Refuses steps that change texts in other ways than SentencePiece itself, which replaces a space by
    `▁`."""
    for step in [*_steps(saved.get("normalizer")), *_steps(saved.get("pre_tokenizer"))]:
        is_space = step.get("pattern") == {"String": " "}
        if step["type"] not in ("Prepend", "Metaspace") and not is_space:
            raise _unknown()


def _pre_tokenizer(saved: dict[str, Any]) -> str:
    """Returns llama.cpp's name for the tokenizer's way of splitting texts."""
    normalizers = {step["type"] for step in _steps(saved.get("normalizer"))}
    match _steps(saved.get("pre_tokenizer")):
        case [{"type": "ByteLevel", "use_regex": True, "add_prefix_space": False}] if not normalizers:
            return "gpt-2"
        case [
            {"type": "Digits", "individual_digits": True},
            {"type": "ByteLevel", "use_regex": True, "add_prefix_space": False},
        ] if not normalizers:
            return "smollm"
        case [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "use_regex": False, "add_prefix_space": False},
        ] if normalizers <= {"NFC"} and pattern in _SPLITS:
            return _SPLITS[pattern]
    raise _unknown()


def _unknown() -> InvalidRequest:
    return not_available(
        "llama.cpp has no tokenizer that splits texts as the base model's does, and would read other tokens"
    )


def _steps(part: dict[str, Any] | None) -> list[dict[str, Any]]:
    """Returns the steps of a normalizer or pre-tokenizer."""
    if part is None:
        return []
    nested = part.get("normalizers") or part.get("pretokenizers")
    return [part] if nested is None else [step for one in nested for step in _steps(one)]
