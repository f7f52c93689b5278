"""Turns rows of one format into token sequences with masks of the learned tokens. Cuts sequences that are too
long."""

import copy
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple, cast

from cluster.bases.text.chat_template import ChatTemplate, chat_template
from cluster.bases.text.encoder_inputs import encode_texts, encode_words
from cluster.contracts.errors import InvalidDataset
from cluster.contracts.rows import (
    ChatRow,
    ClassificationRow,
    CompletionRow,
    PreferenceRow,
    Row,
    TokenClassificationRow,
)
from cluster.training.data.answers import added_end
from cluster.training.data.template import Rendered, render_completions, render_pair, render_row

NO_CLASS = -1


class Sample(NamedTuple):
    """One rendered row: two sequences for a preference; otherwise one, or one for each learned answer of a
    chat whose template renders answers differently once others follow."""

    sequences: tuple[Rendered, ...]
    """At most `max_length` tokens each."""
    lengths: tuple[int, ...]
    """The number of tokens in each sequence before it was cut."""
    class_ids: list[int] | None = None
    """Class of each token for encoders, or NO_CLASS."""
    is_pair: bool = False
    """Whether the two sequences form one preference example. Otherwise each sequence is an example."""

    @property
    def full_length(self) -> int:
        """The number of tokens in the longest sequence before it was cut."""
        return max(self.lengths)

    def examples(self) -> list["Sample"]:
        """The examples of the row, each as a row of its own."""
        if self.is_pair or len(self.sequences) == 1:
            return [self]
        return [Sample((one,), (length,)) for one, length in zip(self.sequences, self.lengths, strict=True)]

    @property
    def has_something_to_learn(self) -> bool:
        """Whether each sequence has learned tokens. A pair teaches nothing if its cut sequences are the
        same."""
        if self.is_pair and self.sequences[0] == self.sequences[1]:
            return False
        return all(any(sequence.mask) for sequence in self.sequences)


class Renderer:
    """Renders rows for one base. Classes are numbered in the given order, or in the order of appearance."""

    def __init__(self, tokenizer: Any, *, max_length: int, class_names: Sequence[str] = ()) -> None:
        self._tokenizer, self._max_length = tokenizer, max_length
        self._is_open = not class_names
        self._classes = {name: number for number, name in enumerate(class_names)}

    @cached_property
    def _template(self) -> ChatTemplate:
        """The chat template. Raises InvalidRequest if the base cannot be trained on chats, because it
        would never stop."""
        template = chat_template(self._tokenizer)
        added_end(template)
        return template

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self._classes)

    def render(self, rows: Sequence[Row]) -> Iterator[Sample | InvalidDataset]:
        """Yields a result for each row, in order. All rows must be of one format."""
        match rows[0]:
            case CompletionRow():
                yield from self._completions(cast("Sequence[CompletionRow]", rows))
            case ClassificationRow():
                yield from self._texts(cast("Sequence[ClassificationRow]", rows))
            case TokenClassificationRow():
                yield from self._words(cast("Sequence[TokenClassificationRow]", rows))
            case _:
                yield from map(self._conversation, cast("Sequence[ChatRow | PreferenceRow]", rows))

    def _conversation(self, row: ChatRow | PreferenceRow) -> Sample | InvalidDataset:
        try:
            if isinstance(row, PreferenceRow):
                return self._cut(render_pair(self._template, row), is_pair=True)
            return self._cut(render_row(self._template, row))
        except InvalidDataset as error:
            return error

    def _completions(self, rows: Sequence[CompletionRow]) -> Iterator[Sample]:
        texts = [(row.prompt, row.completion) for row in rows]
        return (self._cut([rendered]) for rendered in render_completions(self._tokenizer, texts))

    def _cut(self, sequences: Sequence[Rendered], *, is_pair: bool = False) -> Sample:
        lengths, end = tuple(len(sequence.token_ids) for sequence in sequences), self._max_length
        if max(lengths) > end:
            sequences = [Rendered(ids[:end], mask[:end]) for ids, mask in sequences]
        return Sample(tuple(sequences), lengths, is_pair=is_pair)

    def _texts(self, rows: Sequence[ClassificationRow]) -> Iterator[Sample | InvalidDataset]:
        texts = [(row.text, row.text_pair) for row in rows]
        for row, text, token_ids in zip(rows, texts, encode_texts(self._tokenizer, texts), strict=True):
            full_length = len(token_ids)
            if full_length > self._max_length:
                token_ids = encode_texts(self._cutting_tokenizer, [text], self._max_length)[0]
            try:
                class_id = self._class_id(row.label, "label")
            except InvalidDataset as error:
                yield error
            else:
                yield _labelled(token_ids, [0], [class_id], full_length)

    def _words(self, rows: Sequence[TokenClassificationRow]) -> Iterator[Sample | InvalidDataset]:
        encoded = encode_words(self._tokenizer, [row.tokens for row in rows])
        for row, (token_ids, positions) in zip(rows, encoded, strict=True):
            full_length = len(token_ids)
            if full_length > self._max_length:
                token_ids, positions = encode_words(self._cutting_tokenizer, [row.tokens], self._max_length)[
                    0
                ]
            try:
                class_ids = [
                    self._class_id(label, f"labels[{place}]") for place, label in enumerate(row.labels)
                ]
            except InvalidDataset as error:
                yield error
            else:
                yield _labelled(token_ids, positions, class_ids, full_length)

    def _class_id(self, label: str, place: str) -> int:
        if self._is_open:
            return self._classes.setdefault(label, len(self._classes))
        if label not in self._classes:
            known = ", ".join(self._classes)
            raise InvalidDataset(
                f"{place} is {label!r:.80}; the known classes are: {known:.400}",
                code="unknown_label",
                param=place,
            )
        return self._classes[label]

    @cached_property
    def _cutting_tokenizer(self) -> Any:
        """A copy of the tokenizer, because truncation is a state that other threads would see."""
        return copy.deepcopy(self._tokenizer)


def _labelled(
    token_ids: list[int], positions: Sequence[int | None], class_ids: Sequence[int], full_length: int
) -> Sample:
    """A sequence whose tokens at `positions` carry these classes."""
    mask, by_token = [False] * len(token_ids), [NO_CLASS] * len(token_ids)
    for position, class_id in zip(positions, class_ids, strict=True):
        if position is not None:
            mask[position], by_token[position] = True, class_id
    return Sample((Rendered(token_ids, mask),), (full_length,), by_token)
