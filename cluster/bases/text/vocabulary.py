"""The bytes of each token, so that text can be assembled without losing partial characters."""

import json
import re
from collections.abc import Sequence
from typing import Any

from cluster.contracts.generation import TokenLogprob

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Vocabulary:
    """The bytes of every token of a transformers tokenizer.

    Supports byte-level BPE (GPT-2, Llama 3, Qwen) and SentencePiece with byte fallback (Llama 2, Mistral,
    Gemma). For any other kind it uses what the tokenizer decodes a single token to."""

    def __init__(self, tokenizer: Any) -> None:
        added = tokenizer.added_tokens_decoder
        self.special = frozenset(id_ for id_, token in added.items() if token.special)
        """Tokens that mark parts of a text and are not text themselves."""
        self.added = {token.content: id_ for id_, token in added.items()}
        """Added tokens by their text, which is always tokenized as a whole."""
        kinds = _decoder_kinds(tokenizer)
        if "ByteLevel" in kinds:
            characters = _byte_level_alphabet()
            self._bytes = [
                bytes(characters[c] for c in token) if all(c in characters for c in token) else token.encode()
                for token in _tokens(tokenizer)
            ]
        elif "ByteFallback" in kinds:
            self._bytes = [_sentencepiece_bytes(token) for token in _tokens(tokenizer)]
        else:
            self._bytes = [tokenizer.decode([id_]).encode() for id_ in range(len(tokenizer))]
        for id_, token in added.items():
            self._bytes[id_] = token.content.encode()

    def __len__(self) -> int:
        return len(self._bytes)

    def text_bytes(self, token: int) -> bytes:
        """Returns the bytes that the token adds to a text. There are none if it is special or beyond the
        vocabulary, where models with a padded embedding can generate tokens."""
        return b"" if token in self.special else self.token_bytes(token)

    def token_bytes(self, token: int) -> bytes:
        """Returns the token's own bytes, whether or not it is special. There are none beyond the
        vocabulary."""
        return self._bytes[token] if token < len(self._bytes) else b""

    def text(self, tokens: list[int]) -> str:
        return b"".join(map(self.text_bytes, tokens)).decode(errors="replace")

    def logprob(
        self, token: int, logprob: float | None, top: Sequence[tuple[int, float]] = ()
    ) -> TokenLogprob:
        """Returns the token with its log-probability, and the most likely tokens at its position, best
        first."""
        raw = self.token_bytes(token)
        return TokenLogprob(
            token=token_name(raw),
            bytes=list(raw),
            token_id=token,
            logprob=logprob,
            top=[self.logprob(*likely) for likely in top],
            is_text=token not in self.special,
        )


def token_name(raw: bytes) -> str:
    """Returns the token's text. Bytes that are not whole characters are escaped as OpenAI does, so that names
    are unique."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(
            chr(byte) if 0x20 <= byte < 0x7F and byte != ord("\\") else f"\\x{byte:02x}" for byte in raw
        )


def _tokens(tokenizer: Any) -> list[str]:
    """The vocabulary's own spelling of each id; empty for unused ids."""
    return [token or "" for token in tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))]


def _decoder_kinds(tokenizer: Any) -> set[str]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    decoder = json.loads(backend.to_str())["decoder"] if backend is not None else None
    if decoder is None:
        return set()
    return {part["type"] for part in decoder.get("decoders", [decoder])}


def _sentencepiece_bytes(token: str) -> bytes:
    if match := _BYTE_TOKEN.fullmatch(token):
        return bytes.fromhex(match[1])
    return token.replace("▁", " ").encode()


def _byte_level_alphabet() -> dict[str, int]:
    """GPT-2's spelling of bytes: printable Latin-1 stands for itself, the others for code points from 256."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(hidden)}
