import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.contracts.generation import TokenLogprob
from cluster.serving.text.stream import TextStream


def _token(number: int, raw: bytes) -> TokenLogprob:
    return TokenLogprob(token=raw.decode(errors="replace"), bytes=list(raw), token_id=number, logprob=-1.0)


def _run(chunks: list[bytes], stop: list[str]) -> tuple[list[str], list[int], bool]:
    """The text sent for each chunk, the ids of the tokens sent with it, and whether a stop string was
    found."""
    stream = TextStream(stop)
    texts, ids = [], []
    for number, chunk in enumerate(chunks):
        piece = stream.push(chunk, _token(number, chunk))
        texts.append(piece.text)
        ids += [token.token_id for token in piece.tokens]
        if piece.is_stopped:
            return texts, ids, True
    piece = stream.finish()
    return [*texts, piece.text], ids + [token.token_id for token in piece.tokens], piece.is_stopped


def _expected(text: str, stop: list[str]) -> tuple[str, bool]:
    """A simple reference, character by character."""
    for end in range(1, len(text) + 1):
        starts = [end - len(string) for string in stop if string and text[:end].endswith(string)]
        if starts:
            return text[: min(starts)], True
    return text, False


@given(
    text=st.text(alphabet="abé→𝄞", max_size=30),
    stop=st.lists(
        st.text(alphabet="abé𝄞", min_size=1, max_size=4) | st.text(alphabet="ab", min_size=1, max_size=9),
        max_size=4,
    ),
    cuts=st.lists(st.integers(0, 120), max_size=20),
)
def test_however_the_bytes_are_cut_the_text_is_the_same(text: str, stop: list[str], cuts: list[int]) -> None:
    raw = text.encode()
    edges = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    chunks = [raw[start:end] for start, end in itertools.pairwise(edges)]
    texts, ids, is_stopped = _run(chunks, stop)
    assert ("".join(texts), is_stopped) == _expected(text, stop)
    assert ids == list(range(len(ids)))
    if not is_stopped:
        assert len(ids) == len(chunks)


@given(
    pieces=st.lists(st.text(alphabet="ab", max_size=6), max_size=20),
    stop=st.lists(st.text(alphabet="ab", min_size=1, max_size=9), max_size=3),
)
def test_no_more_is_held_back_than_may_become_a_stop_string(pieces: list[str], stop: list[str]) -> None:
    stream = TextStream(stop)
    text = sent = ""
    for piece in pieces:
        text += piece
        sent += stream.push(piece.encode(), may_stop=False).text
        begun = [
            text[-length:]
            for string in stop
            for length in range(1, len(string))
            if text.endswith(string[:length])
        ]
        assert sent == text.removesuffix(max(begun, key=len, default=""))


@given(
    text=st.text(alphabet="abc", max_size=20),
    stop=st.lists(st.text(alphabet="abc", min_size=1, max_size=4), min_size=1, max_size=3),
    exempt=st.integers(0, 20),
)
def test_a_stop_string_counts_only_where_it_ends_after_the_exempt_tokens(
    text: str, stop: list[str], exempt: int
) -> None:
    stream = TextStream(stop)
    sent = ""
    for number, character in enumerate(text):
        piece = stream.push(character.encode(), may_stop=number >= exempt)
        sent += piece.text
        if piece.is_stopped:
            break
    else:
        piece = stream.finish()
        sent += piece.text
    starts = [
        end - len(string)
        for end in range(exempt + 1, len(text) + 1)
        for string in sorted(stop, key=len, reverse=True)
        if text[:end].endswith(string)
    ]
    # What was sent before it may have stopped is never taken back.
    assert sent == (text[: starts[0]] if starts else text)
    assert piece.is_stopped == bool(starts)


def test_nothing_is_held_back_that_cannot_become_a_stop_string() -> None:
    assert _run([b"one ", b"two ", b"st", b"ay", b"s"], ["stop"])[0] == ["one ", "two ", "", "stay", "", "s"]


@pytest.mark.parametrize(
    "stop",
    [
        ["b" + "a" * 1023, "c" + "a" * 1023, "d" + "a" * 1023, "a" * 1023 + "b"],
        ["a" * 500 + "b" + "a" * 500, "a" * 400 + "c" + "a" * 400, "a" * 1023 + "b"],
    ],
)
def test_a_long_text_that_may_become_a_stop_string_costs_no_time(stop: list[str]) -> None:
    begun = time.process_time()
    for _ in range(32):
        stream = TextStream(stop)
        for _ in range(1500):
            stream.push(b"a")
    # In CPU seconds: 0.4, and at least 6 if each token were compared with every part of the strings.
    assert time.process_time() - begun < 4


def test_tokens_after_the_cut_are_not_sent() -> None:
    texts, ids, is_stopped = _run([b"ab", b"cS", b"TO", b"P"], ["STOP"])
    assert (texts, ids, is_stopped) == (["ab", "c", "", ""], [0, 1], True)


def test_a_token_goes_with_the_text_it_begins() -> None:
    stream = TextStream(["xyz"])
    assert stream.push(b"ax", _token(0, b"ax")).tokens != []
    assert stream.push(b"y", _token(1, b"y")).tokens == []
    piece = stream.push(b"!", _token(2, b"!"))
    assert piece.text == "xy!"
    assert [token.token_id for token in piece.tokens] == [1, 2]


def test_invalid_bytes_are_replaced_at_once() -> None:
    assert _run([b"a\xff", b"b"], [])[0] == ["a\ufffd", "b", ""]


def test_a_token_without_text_is_sent_when_nothing_is_held() -> None:
    assert TextStream([]).push(b"", _token(0, b"")).tokens != []
