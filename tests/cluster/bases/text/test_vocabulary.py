from tokenizers import AddedToken, Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from cluster.bases.text.vocabulary import Vocabulary
from tests.tiny_base import make_tokenizer


def _sentencepiece() -> PreTrainedTokenizerFast:
    """A tokenizer like Llama 2's: words begin with `▁`, and characters without a token fall back to bytes."""
    vocab = {"<s>": 0, "</s>": 1, "▁the": 2, "re": 3, "<0xC3>": 4, "<0xA9>": 5, "▁": 6}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[], byte_fallback=True))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_special_tokens([AddedToken("</s>", special=True)])
    tokenizer.add_tokens([AddedToken("<tool>", special=False)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")


def test_byte_level_tokens_reproduce_every_byte() -> None:
    tokenizer = make_tokenizer()
    vocabulary = Vocabulary(tokenizer)
    text = "naïve → 𝄞\n\t\x00 quick brown"
    assert b"".join(vocabulary.text_bytes(token) for token in tokenizer.encode(text)) == text.encode()


def test_sentencepiece_tokens_are_spaces_words_and_bytes() -> None:
    vocabulary = Vocabulary(_sentencepiece())
    assert [vocabulary.text_bytes(token) for token in (2, 3, 4, 5, 6)] == [
        b" the",
        b"re",
        b"\xc3",
        b"\xa9",
        b" ",
    ]


def test_special_tokens_are_not_text_and_other_added_ones_are() -> None:
    vocabulary = Vocabulary(_sentencepiece())
    assert vocabulary.text_bytes(1) == b""
    assert vocabulary.text([2, 1, 7]) == " the<tool>"


def test_a_token_is_shown_with_its_exact_bytes() -> None:
    shown = Vocabulary(_sentencepiece()).logprob(4, -0.5, ((1, -0.1),))
    assert (shown.token, shown.bytes, shown.token_id, shown.logprob) == (
        "bytes:\\xc3",
        [0xC3],
        4,
        -0.5,
    )
    assert (shown.top[0].token, shown.top[0].token_id) == ("</s>", 1)
    assert shown.is_text
    assert not shown.top[0].is_text


def test_all_tokens_of_a_byte_level_tokenizer_have_unique_names() -> None:
    vocabulary = Vocabulary(make_tokenizer())
    names = [vocabulary.logprob(token, -1.0).token for token in range(len(vocabulary))]
    assert len(set(names)) == len(names) > 256
    assert "\ufffd" not in names


def test_ids_beyond_the_vocabulary_have_no_bytes() -> None:
    vocabulary = Vocabulary(_sentencepiece())
    assert vocabulary.text_bytes(len(vocabulary) + 3) == b""
