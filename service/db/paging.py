"""Pages of lists. The id of a page's last item is the cursor for the next page."""

from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from sqlalchemy import Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from cluster.contracts.errors import InvalidRequest

Item = TypeVar("Item")
Order = Literal["asc", "desc"]
Key = tuple[InstrumentedAttribute[Any], ...]


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    data: list[Item]
    has_more: bool


def page(
    session: Session,
    statement: Select[Item],
    *,
    key: Key,
    after: str | None,
    cursors: Select[Item],
    limit: int,
    order: Order = "desc",
) -> Page[Item]:
    """Returns the rows of `statement` after the one with the id `after`, ordered by `key`, which must be
    unique.

    `after` is looked up in `cursors`. These may include rows that `statement` leaves out because they were
    deleted or do not match its filter, so that a cursor stays valid. Raises InvalidRequest if `cursors` does
    not contain it.
    """
    if after is not None:
        position = _position(session, cursors, key, after)
        behind = tuple_(*key) > position if order == "asc" else tuple_(*key) < position
        statement = statement.where(behind)
    columns = [column.asc() if order == "asc" else column.desc() for column in key]
    rows = session.scalars(statement.order_by(*columns).limit(limit + 1)).all()
    return Page(list(rows[:limit]), len(rows) > limit)


def _position(session: Session, cursors: Select[Item], key: Key, after: str) -> tuple[Any, ...]:
    table: Any = key[0].class_
    row = session.execute(cursors.with_only_columns(*key).where(table.id == after)).first()
    if row is None:
        raise InvalidRequest(f"No item with id '{after}' to list after.", param="after")
    return tuple(row)
