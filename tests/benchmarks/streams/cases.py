"""Requests of every kind to every model, each with the answer that it must get."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from tests.benchmarks.load.reference import Asked, Reference, Said
from tests.benchmarks.load.world import Tuned
from tests.e2e.server import BASE

_GREEDY = {"temperature": 0.0}
_WARM = {"temperature": 0.4, "seed": 17}
_KINDS = (
    Asked("What is the weather in Paris today?", options=_GREEDY),
    Asked("Order 17 holds", is_chat=False, options=_GREEDY),
    Asked("Tell me about the river and the village.", options=_WARM),
    Asked("Once there was a", is_chat=False, options={**_WARM, "top_p": 0.9}),
    Asked("Name three colours.", options={**_WARM, "n": 3}),
)


@dataclass(frozen=True)
class Case:
    model: str
    key: str
    """Of the project that the model belongs to."""
    asked: Asked
    said: list[Said]


def make_cases(models: Sequence[Tuned]) -> list[Case]:
    """Those of the tuned models and of the base. Left out are answers that hang by a rounding, and those that
    two models give alike, by which no mix-up would be seen; every model has some others."""
    known = {BASE: (Reference(None), models[0].project.key)}
    known |= {model.name: (Reference(model.folder), model.project.key) for model in models}
    cases = [
        Case(name, key, asked, said)
        for name, (reference, key) in known.items()
        for asked, said in _answers(reference)
    ]
    given = Counter(f"{case.asked}: {case.said}" for case in cases)
    distinct = [case for case in cases if given[f"{case.asked}: {case.said}"] == 1]
    silent = set(known) - {case.model for case in distinct}
    assert not silent, f"no answer tells these models from the others: {silent}"
    return distinct


def _answers(reference: Reference) -> Iterator[tuple[Asked, list[Said]]]:
    """To every kind, and to greedy ones again with a stop string from the middle of the answer."""
    for kind in _KINDS:
        if (said := reference.answer(kind)) is None:
            continue
        yield kind, said
        text = said[0].text
        if kind.options == _GREEDY and len(text) >= 4:
            stopped = replace(kind, options={**kind.options, "stop": text[len(text) // 2 :][:3]})
            if (cut := reference.answer(stopped)) is not None:
                yield stopped, cut
