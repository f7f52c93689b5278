"""Renders single rows of a file as training does, for their owner to look at."""

from collections.abc import Iterator
from typing import BinaryIO, Literal

from cluster.bases.text.vocabulary import Vocabulary, token_name
from cluster.contracts.datasets import DatasetFormat, Problem
from cluster.contracts.errors import InvalidDataset, InvalidRequest
from cluster.contracts.previews import (
    MAX_PREVIEW_TOKENS,
    Outcome,
    Preview,
    PreviewRequest,
    PreviewRow,
    PreviewSequence,
    PreviewToken,
)
from cluster.contracts.rows import Row, row_format
from cluster.storage.store import ObjectStore
from cluster.training.data.compiler import row_batches
from cluster.training.data.recipe import Recipe, as_problem, outcomes_of, wrong_format
from cluster.training.data.rendering import NO_CLASS, Renderer, Sample
from cluster.training.data.template import Rendered
from cluster.training.data.tokenizer import load_tokenizer, load_vocabulary


def preview_rows(request: PreviewRequest, store: ObjectStore) -> Preview:
    """Reads the file no further than the last row that is asked for.

    Raises InvalidDataset if the file is of another format or cannot be read so far, InvalidRequest if it has
    no such line, and NotFound, Unavailable and InvalidConfiguration as storage and base do."""
    base = request.base
    recipe = Recipe(base, request.method, request.max_length or base.context_length, request.on_overlength)
    renderer = Renderer(load_tokenizer(base), max_length=recipe.max_length)
    vocabulary = load_vocabulary(base)
    wanted = request.lines or range(1, request.n_rows + 1)
    found: DatasetFormat | None = None
    rows: list[PreviewRow] = []
    tokens = 0
    with store.open(request.key) as stream:
        for line, row in _rows(stream, frozenset(wanted)):
            if found is None:
                found = row_format(row)
                if wrong := wrong_format(found, recipe):
                    raise wrong
            shown = _shown(line, row, renderer, vocabulary, recipe)
            tokens += sum(len(sequence.tokens) for sequence in shown.sequences)
            if rows and tokens > MAX_PREVIEW_TOKENS:
                return Preview(format=found, max_length=recipe.max_length, rows=rows, has_more=True)
            rows.append(shown)
    missing = sorted(set(request.lines or ()) - {row.line for row in rows})
    if missing:
        raise InvalidRequest(f"The file has no row on line {missing[0]}.", param="lines")
    if found is None:
        raise InvalidDataset("The file has no rows.")
    return Preview(format=found, max_length=recipe.max_length, rows=rows, has_more=False)


def _rows(stream: BinaryIO, wanted: frozenset[int]) -> Iterator[tuple[int, Row]]:
    last = max(wanted)
    for batch in row_batches(stream):
        if isinstance(batch, Problem):
            raise InvalidDataset(batch.message, code=batch.code, param=batch.param)
        yield from (each for each in zip(*batch, strict=True) if each[0] in wanted)
        if batch[0][-1] >= last:
            return


def _shown(line: int, row: Row, renderer: Renderer, vocabulary: Vocabulary, recipe: Recipe) -> PreviewRow:
    (sample,) = renderer.render([row])
    outcomes = outcomes_of(sample, recipe)
    rendered = sample if isinstance(sample, Sample) else None
    is_long = rendered is not None and rendered.full_length > recipe.max_length
    return PreviewRow(
        line=line,
        outcome="error" if isinstance(outcomes, InvalidDataset) else _outcome(outcomes),
        problem=as_problem(line, outcomes) if isinstance(outcomes, InvalidDataset) else None,
        full_length=rendered and rendered.full_length,
        truncated_at=recipe.max_length if is_long else None,
        sequences=[
            sequence
            for example in ([] if rendered is None else _shown_examples(rendered, outcomes))
            for sequence in _sequences(example, renderer, vocabulary)
        ],
    )


def _outcome(outcomes: list[Outcome]) -> Outcome:
    """Returns the outcome of a row. Some of its examples may be dropped, and others not."""
    return outcomes[0] if len(set(outcomes)) == 1 else "truncated"


def _shown_examples(sample: Sample, outcomes: list[Outcome] | InvalidDataset) -> list[Sample]:
    """Returns the examples that are trained on, or all of them if none is."""
    examples = sample.examples()
    if isinstance(outcomes, InvalidDataset):
        return examples
    pairs = zip(examples, outcomes, strict=True)
    return [example for example, outcome in pairs if outcome != "dropped"] or examples


def _sequences(sample: Sample, renderer: Renderer, vocabulary: Vocabulary) -> list[PreviewSequence]:
    roles: list[Literal["example", "preferred", "non_preferred"]] = ["preferred", "non_preferred"]
    if not sample.is_pair:
        roles = ["example"] * len(sample.sequences)
    return [
        PreviewSequence(role=role, tokens=_tokens(sequence, sample.class_ids, renderer, vocabulary))
        for role, sequence in zip(roles, sample.sequences, strict=True)
    ]


def _tokens(
    sequence: Rendered, class_ids: list[int] | None, renderer: Renderer, vocabulary: Vocabulary
) -> list[PreviewToken]:
    tokens = []
    for place, (token, learned) in enumerate(zip(sequence.token_ids, sequence.mask, strict=True)):
        raw = vocabulary.token_bytes(token)
        class_id = NO_CLASS if class_ids is None else class_ids[place]
        label = None if class_id == NO_CLASS else renderer.class_names[class_id]
        tokens.append(
            PreviewToken(id=token, token=token_name(raw), bytes=list(raw), learned=learned, label=label)
        )
    return tokens
