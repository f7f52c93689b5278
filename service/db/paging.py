"""One page of a list, continued by the id of its last item."""

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

Item = TypeVar("Item")
Order = Literal["asc", "desc"]


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    data: list[Item]
    has_more: bool
