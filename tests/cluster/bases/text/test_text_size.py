import pytest

from cluster.bases.text.text_size import check_size
from cluster.contracts.errors import ContextLengthExceeded
from tests.tiny_base import make_tokenizer


class CountingTokenizer:
    """The tests' tokenizer, which counts the characters it is given."""

    def __init__(self) -> None:
        self._tokenizer = make_tokenizer()
        self.num_characters = 0

    def __call__(self, text: str, **options: object) -> object:
        self.num_characters += len(text)
        return self._tokenizer(text, **options)


@pytest.mark.parametrize(
    ("text", "read", "message"),
    [
        ("x y " * 1000, 800, "more than 200 tokens"),
        ("x" * 25_601, 0, "25601 characters"),
        # Few tokens, and then many.
        ("Thank you very much. " * 60 + "x y " * 1000, 2400, "more than 200"),
    ],
)
def test_a_text_is_read_only_until_it_is_known_to_be_too_long(text: str, read: int, message: str) -> None:
    tokenizer = CountingTokenizer()
    with pytest.raises(ContextLengthExceeded, match=message) as caught:
        check_size(tokenizer, text, context_length=100, param="input[3]")
    assert caught.value.param == "input[3]"
    assert tokenizer.num_characters <= read


@pytest.mark.parametrize("length", [1, 100, 150])
def test_text_that_may_fit_passes(length: int) -> None:
    """Slightly too long text passes too: the engine counts its tokens exactly."""
    tokenizer = CountingTokenizer()
    check_size(tokenizer, "x " * length, context_length=100, param="prompt")
    assert tokenizer.num_characters == 0


def test_a_long_text_of_long_tokens_fits() -> None:
    tokenizer = CountingTokenizer()
    text = "<|assistant|>" * 100
    check_size(tokenizer, text, context_length=100, param="prompt")
    assert tokenizer.num_characters == len(text), "it is too long to go unread"
