"""What can be done with each family of decoders: the expectations that its tests hold."""

from tests.docs.markdown import code, table
from tests.family_support import (
    BYPASSED,
    DECODERS,
    EXPERTS,
    IN_LLAMA_CPP,
    MERGED,
    PADDED,
    PER_ROW,
    STATEFUL,
)

_HEAD = (
    "Family",
    "LoRA",
    "QLoRA",
    "Full, DPO, resume",
    "Packing",
    "Merged export",
    "GGUF",
    "Embedded engine",
)


def support() -> str:
    return table(_HEAD, [_row(name) for name in DECODERS])


def _row(name: str) -> tuple[str, ...]:
    return (
        code(name),
        _lora(name),
        "yes; experts stay in 16 bits" if name in EXPERTS else "yes",
        "yes",
        _packing(name),
        "yes",
        "yes" if name in IN_LLAMA_CPP else "refused: no such file is known to be right",
        "yes, one row at a time" if name in PER_ROW else "yes, in batches",
    )


def _lora(name: str) -> str:
    notes = []
    if name in MERGED:
        notes.append("on experts too by default, and then served merged")
    if names := BYPASSED.get(name):
        notes.append(f"not on {', '.join(map(code, names))}")
    return "; ".join(["yes", *notes])


def _packing(name: str) -> str:
    if name not in PADDED:
        return "yes"
    return "padded: a state would leak" if name in STATEFUL else "padded: its attention mixes examples"
