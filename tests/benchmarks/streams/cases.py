"""Requests of every kind to every model, each with its expected answer."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tests.benchmarks.load.reference import Choice, Reference, Request
from tests.benchmarks.load.world import Tuned
from tests.e2e.server import BASE

_GREEDY = {"temperature": 0.0}
_WARM = {"temperature": 0.4, "seed": 17}
_KINDS = (
    Request("What is the weather in Paris today?", options=_GREEDY),
    Request("Order 17 holds", is_chat=False, options=_GREEDY),
    Request("Tell me about the river and the village.", options=_WARM),
    Request("Once there was a", is_chat=False, options={**_WARM, "top_p": 0.9}),
    Request("Name three colours.", options={**_WARM, "n": 3}),
)


@dataclass(frozen=True)
class Case:
    model: str
    key: str
    """API key of the model's project."""
    request: Request
    choices: list[Choice]


def make_cases(models: Sequence[Tuned]) -> list[Case]:
    """Cases for the tuned models and the base.

    Leaves out answers that rounding could change, and answers that two models share, because they would hide
    a mix-up. Raises AssertionError if that leaves a model without cases.
    """
    known = {BASE: (Reference(None), models[0].project.key)}
    known |= {model.name: (Reference(model.folder), model.project.key) for model in models}
    cases = [
        Case(name, key, request, choices)
        for name, (reference, key) in known.items()
        for request, choices in _answers(reference)
    ]
    counts = Counter(f"{case.request}: {case.choices}" for case in cases)
    distinct = [case for case in cases if counts[f"{case.request}: {case.choices}"] == 1]
    indistinct = set(known) - {case.model for case in distinct}
    assert not indistinct, f"no answer distinguishes these models from the others: {indistinct}"
    return distinct


def _answers(reference: Reference) -> Iterator[tuple[Request, list[Choice]]]:
    """Answers to every kind; to greedy ones also with a stop string from the middle of the answer."""
    for kind in _KINDS:
        if (choices := reference.answer(kind)) is None:
            continue
        yield kind, choices
        text = choices[0].text
        if kind.options == _GREEDY and len(text) >= 4:
            stopped = replace(kind, options={**kind.options, "stop": text[len(text) // 2 :][:3]})
            if (cut := reference.answer(stopped)) is not None:
                yield stopped, cut
