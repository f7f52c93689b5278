"""Computes the cost of usage from the operator's prices. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cluster.contracts.errors import InvalidRequest
from service.db.usage.organization_usage import Group, TrainingUsage
from service.db.usage.usage import UsageCounts
from service.settings import Settings

_MILLION = 1_000_000

Counts = TypeVar("Counts")
Buckets = Mapping[int, Mapping[Group, Counts]]
"""Usage by the start of its bucket, and then by the values by which it is grouped."""
CostGroup = tuple[tuple[str, str | None], ...]
"""The values that a group of costs has in common."""


@dataclass(frozen=True, slots=True)
class LineItem:
    """Something that has a price. Its name is `model, what`, such as `tunery-tiny-1, input_tokens`."""

    model: str
    what: str
    unit: str
    price: float
    """Price of one unit."""

    @property
    def name(self) -> str:
        return f"{self.model}, {self.what}"


@dataclass(frozen=True, slots=True)
class Cost:
    amount: float = 0.0
    quantity: float = 0.0
    unit: str | None = None
    """Unit of the quantity. Only costs of one line item have the same unit."""

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.amount + other.amount, self.quantity + other.quantity, other.unit)


class Prices:
    """The operator's prices."""

    def __init__(self, settings: Settings) -> None:
        """Raises InvalidRequest (`prices_not_set`) if there are none: amounts of 0 would be wrong."""
        self._settings = settings
        if settings.price_per_device_hour is None and not (
            settings.price_per_million_tokens
            or settings.price_per_million_input_tokens
            or settings.price_per_million_output_tokens
        ):
            raise InvalidRequest(
                "The operator of this server has set no prices. TUNERY_PRICE_PER_MILLION_INPUT_TOKENS, "
                "TUNERY_PRICE_PER_MILLION_OUTPUT_TOKENS, TUNERY_PRICE_PER_MILLION_TOKENS (of training) and "
                "TUNERY_PRICE_PER_DEVICE_HOUR set them. /v1/organization/usage has what was used.",
                code="prices_not_set",
            )

    def of_requests(self, model: str, used: UsageCounts) -> Iterator[tuple[LineItem, float]]:
        """Yields the priced quantities of the requests to a model. Quantities without a price are left
        out."""
        for what, by_base, tokens in (
            ("input_tokens", self._settings.price_per_million_input_tokens, used.prompt_tokens),
            ("output_tokens", self._settings.price_per_million_output_tokens, used.completion_tokens),
        ):
            price = _price_of(by_base, _base_of(model))
            if price is not None and tokens:
                yield LineItem(model, what, "tokens", price / _MILLION), tokens

    def of_training(self, base: str, used: TrainingUsage) -> Iterator[tuple[LineItem, float]]:
        """The same for training."""
        by_tokens = _price_of(self._settings.price_per_million_tokens, base)
        if by_tokens is not None and used.trained_tokens:
            yield LineItem(base, "training_tokens", "tokens", by_tokens / _MILLION), used.trained_tokens
        by_hours = self._settings.price_per_device_hour
        if by_hours is not None and used.device_seconds:
            yield LineItem(base, "training_hours", "duration_hours", by_hours), used.device_seconds / 3600


def costs(
    prices: Prices,
    requests: Iterable[Buckets[UsageCounts]],
    training: Buckets[TrainingUsage],
    *,
    by_line_item: bool,
    line_items: Sequence[str],
) -> dict[int, dict[CostGroup, Cost]]:
    """Prices usage whose groups end with the model, and adds it up by the other dimensions and, if wanted, by
    line item. `line_items` names the items that are included; empty for all."""
    totals: defaultdict[int, defaultdict[CostGroup, Cost]] = defaultdict(lambda: defaultdict(Cost))
    used = [(buckets, prices.of_requests) for buckets in requests], [(training, prices.of_training)]
    for buckets, priced in (one for kind in used for one in kind):
        for start, groups in buckets.items():
            for (*shared, (_, model)), counts in groups.items():
                for item, quantity in priced(model, counts):  # type: ignore[arg-type]
                    if line_items and item.name not in line_items:
                        continue
                    group = (*shared, ("line_item", item.name)) if by_line_item else tuple(shared)
                    totals[start][group] += Cost(item.price * quantity, quantity, item.unit)
    return {start: dict(groups) for start, groups in totals.items()}


def _price_of(by_base: Mapping[str, float], base: str) -> float | None:
    return by_base.get(base, by_base.get("*"))


def _base_of(model: str) -> str:
    """The base of `ft:base:…`, which is a tuned model; any other name is that of a base."""
    return model.split(":")[1] if model.startswith("ft:") else model
