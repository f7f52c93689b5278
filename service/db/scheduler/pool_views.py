"""The nodes of the pools as the scheduler last saw them, stored so that the API can read them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from service.db import tables
from service.db.database import now
from service.db.inserting import insert

VIEW_SECONDS = 60.0
"""The scheduler records what it sees at least this often, even if nothing has changed."""
_STALE_SECONDS = 3 * VIEW_SECONDS
NodeCondition = Literal["standing", "draining", "avoided"]
"""Whether jobs start on the node, the node is about to be removed, or attempts keep failing on it."""


@dataclass(frozen=True, slots=True)
class PoolNode:
    node_id: str
    """Ray's id of the node."""
    state: NodeCondition
    devices: int
    free_devices: int
    """Devices that a job could take now: 0 unless jobs start on the node."""
    reason: str | None = None
    """Why no job starts on the node, as a sentence."""


@dataclass(frozen=True, slots=True)
class PoolView:
    nodes: tuple[PoolNode, ...]
    seen_at: float

    def count(self, state: NodeCondition) -> int:
        return sum(node.state == state for node in self.nodes)

    @property
    def free_devices(self) -> int:
        return sum(node.free_devices for node in self.nodes)


def record_pool_views(session: Session, pools: Mapping[str, Sequence[PoolNode]], *, at: float) -> None:
    """Replaces the recorded views. `pools` gives the nodes of each pool."""
    view = tables.PoolView
    session.execute(delete(view).where(view.pool.not_in(pools)))
    for pool, nodes in pools.items():
        new = {"nodes": [asdict(node) for node in nodes], "seen_at": at}
        row = insert(session, view).values(pool=pool, **new)
        session.execute(row.on_conflict_do_update(index_elements=["pool"], set_=new))


def pool_views(session: Session) -> dict[str, PoolView]:
    """Returns the views of pools by name, without pools of which the scheduler has recorded nothing for three
    minutes."""
    view = tables.PoolView
    rows = session.scalars(select(view).where(view.seen_at > now(session) - _STALE_SECONDS))
    return {row.pool: PoolView(tuple(PoolNode(**node) for node in row.nodes), row.seen_at) for row in rows}
