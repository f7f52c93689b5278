"""Characters and markers that a text should not have."""

import re

MARKERS = (
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
    "<|end|>",
    "<start_of_turn>",
    "<end_of_turn>",
    "[INST]",
    "[/INST]",
    "<<SYS>>",
    "<</SYS>>",
    "</s>",
    "### Instruction:",
    "### Response:",
)
"""Markers that chat templates of the common families write around messages."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_INVISIBLE = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
"""Invisible characters, without the zero-width joiners, which emoji and many languages need."""

# Bytes 0x80 to 0xBF as Windows-1252 and Latin-1 decode them. NBSP is left out: « à » in French is not broken.
_LATE = "\x80-\x9f\u00a1-\u00bf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_MOJIBAKE = re.compile(
    f"Ã[{_LATE}]|Â[\u00a0{_LATE}]|â[€‚„†][{_LATE}]|ðŸ[{_LATE}]|ï»¿|(?:[ÄÅÎÏÐÑ][\u00a0{_LATE}]){{2}}"
)
_WORD_OF_TWO_SCRIPTS = re.compile(
    "[A-Za-z][\u0370-\u03ff\u0400-\u04ff]|[\u0370-\u03ff][A-Za-z\u0400-\u04ff]|[\u0400-\u04ff][A-Za-z\u0370-\u03ff]"
)
_LOOK_ALIKE = re.compile("[АВЕКМНОРСТХУІЈЅаеорсухіјѕһԁΑΒΕΖΗΙΚΜΝΟΡΤΥΧοινυ]")
_NOT_LETTER = re.compile(r"[^\w]|[\d_]")


def find_bad_characters(text: str) -> dict[str, int]:
    """Returns the codes of the rules that `text` breaks, each with the offset of the first place."""
    found = {}
    # Far faster than the search, and true for most texts without line breaks.
    if not text.isprintable() and (match := _CONTROL.search(text)):
        found["control_character"] = match.start()
    if any(map(text.__contains__, MARKERS)):
        found["template_marker"] = min(place for marker in MARKERS if (place := text.find(marker)) >= 0)
    if text.isascii():
        return found
    if match := _INVISIBLE.search(text):
        found["invisible_character"] = match.start()
    if (place := text.find("\ufffd")) >= 0:
        found["replacement_character"] = place
    if match := _MOJIBAKE.search(text):
        found["mojibake"] = match.start()
    if (start := _mixed_word(text)) is not None:
        found["mixed_scripts"] = start
    return found


def _mixed_word(text: str) -> int | None:
    """Returns where a word begins that has letters of two alphabets next to each other, one of which looks
    like a letter of the other. An example is a paypal with a Cyrillic a, but not `Δx` or `μm`."""
    for match in _WORD_OF_TWO_SCRIPTS.finditer(text):
        if _LOOK_ALIKE.search(match.group()):
            before = [
                found.end()
                for found in _NOT_LETTER.finditer(text, max(0, match.start() - 100), match.start())
            ]
            return before[-1] if before else max(0, match.start() - 100)
    return None
