"""Tokenizers of each kind that GGUF files can have, trained on a few texts."""

import json

from tokenizers import Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

TEXTS = [
    "The quick brown fox, charged twice!  42 times\n\n ok",
    "I'M it's we'll THEY'RE 12345 67",
    "héllo wörld naïve 東京 日本語テスト Привет мир",
    "  leading   spaces\t\ttabs\r\nlines\n\n\nend  ",
    "a_b-c/d e.f@g.com $9.99 (x)[y]{z} <|user|>hi<|end|> é",
    "emoji 😀😃 x²³ Ⅷ ½",
    "MixedCASEWords camelCase HTTPServer",
    "",
    " ",
    "x" * 50,
]
_SPECIAL = ["<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_OTHERS = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PATTERNS = {
    "llama-bpe": _CONTRACTIONS + r"\p{N}{1,3}" + _OTHERS,
    "qwen2": _CONTRACTIONS + r"\p{N}" + _OTHERS,
    "tekken": (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|"
        r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "unknown": r"\p{L}+|\P{L}+",
}
"""As the files of Llama 3, Qwen 2 and Mistral NeMo have them; and one that llama.cpp does not know."""

KINDS = ("gpt-2", "smollm", "llama-bpe", "qwen2", "tekken", "llama 2", "gemma")


def make_tokenizer(kind: str) -> PreTrainedTokenizerFast:
    return _sentence_piece(kind) if kind in ("llama 2", "gemma") else _byte_level(kind)


def _byte_level(kind: str) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(BPE())
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=kind not in PATTERNS)
    first: list[pre_tokenizers.PreTokenizer] = []
    if kind == "smollm":
        first = [pre_tokenizers.Digits(individual_digits=True)]
    elif kind in PATTERNS:
        first = [pre_tokenizers.Split(Regex(PATTERNS[kind]), "isolated")]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*first, to_bytes]) if first else to_bytes
    if kind == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(
        vocab_size=600, special_tokens=_SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=_SPECIAL[0],
        eos_token=_SPECIAL[1],
        additional_special_tokens=_SPECIAL[2:],
        clean_up_tokenization_spaces=False,
    )


def _sentence_piece(kind: str) -> PreTrainedTokenizerFast:
    """Llama 2 reads every text as if a space preceded it, and Gemma does not."""
    prepends = kind == "llama 2"
    tokenizer = Tokenizer(BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    steps: list[normalizers.Normalizer] = [normalizers.Prepend("▁")] if prepends else []
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    ending: list[decoders.Decoder] = [decoders.Strip(" ", 1, 0)] if prepends else []
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *ending]
    )
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *_SPECIAL]
    trainer = BpeTrainer(vocab_size=700, special_tokens=special, show_progress=False, max_token_length=16)
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    # Bytes are plain tokens in real files.
    saved = json.loads(tokenizer.to_str())
    saved["added_tokens"] = [
        token for token in saved["added_tokens"] if not token["content"].startswith("<0x")
    ]
    tokenizer = Tokenizer.from_str(json.dumps(saved))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token=_SPECIAL[0],
        additional_special_tokens=_SPECIAL[1:],
        clean_up_tokenization_spaces=False,
    )
