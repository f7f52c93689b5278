"""The models that a project may use, and how it may train."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from cluster.contracts.bases import TrainingType
from cluster.contracts.errors import PermissionDenied
from cluster.contracts.hyperparameters import Method


@dataclass(frozen=True, slots=True)
class Rights:
    """What a project may do. None allows everything, including later additions to the catalogue."""

    models: tuple[str, ...] | None = None
    """Base models, by alias, that the project may train, query, and import adapters for. Models that were
    tuned from other bases stay usable."""
    methods: tuple[Method, ...] | None = None
    training_types: tuple[TrainingType, ...] | None = None

    @staticmethod
    def of(stored: dict[str, Any] | None) -> "Rights":
        return Rights(**{name: value and tuple(value) for name, value in (stored or {}).items()})

    def to_json(self) -> dict[str, Any]:
        return {name: value and list(value) for name, value in asdict(self).items()}

    def has_model(self, base: str) -> bool:
        return self.models is None or base in self.models

    def check_model(self, base: str, *, param: str = "model") -> None:
        """Raises PermissionDenied (`not_permitted`)."""
        _check("the model", base, self.models, param)

    def check_training(self, base: str, method: str, type: str) -> None:
        """Raises PermissionDenied (`not_permitted`), naming the parameter."""
        self.check_model(base)
        _check("the method", method, self.methods, "method.type")
        _check("the training type", type, self.training_types, "training.type")


def _check(what: str, value: str, allowed: Sequence[str] | None, param: str) -> None:
    if allowed is None or value in allowed:
        return
    may = f"It may use: {', '.join(allowed)}." if allowed else "It may use none."
    raise PermissionDenied(
        f"This project may not use {what} '{value}'. {may} An administrator can change the project's rights.",
        code="not_permitted",
        param=param,
    )
