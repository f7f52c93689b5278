"""Nodes on which attempts keep failing: a broken device or disk fails one job after the other."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from cluster.contracts.errors import STORAGE_UNAVAILABLE
from cluster.contracts.jobs import JobStatus
from service.db import tables

SECONDS = 1800.0
"""How long faults are remembered, and so the longest time for which a node is avoided after its last
fault."""
FAULTS = 2
"""A node is avoided once attempts of this many jobs have failed on it since an attempt last ended well there.
Retries of one job count once, because the job's own code or data may be the cause."""
_MOST = 1000


@dataclass(frozen=True, slots=True)
class Faults:
    """Platform faults in the last half hour."""

    of_nodes: Mapping[str, int]
    """The number of jobs whose attempts have failed on each node since an attempt last ended well there."""
    of_jobs: Mapping[str, frozenset[str]]
    """The nodes on which each queued job has failed since it last saved a state."""


class Outcome(NamedTuple):
    job_id: str
    nodes: Iterable[str]
    is_fault: bool
    """Whether the platform failed the attempt. Otherwise it ended normally, or by a fault of its job."""


def node_faults(session: Session, at: float) -> dict[str, int]:
    """The number of jobs whose attempts have failed on each node since an attempt last ended well there.
    Nodes without faults are left out."""
    attempt = tables.Attempt
    rows = session.execute(
        select(attempt.job_id, attempt.nodes, attempt.result)
        # An attempt is never released before it has ended, and there is an index on the release time.
        .where(or_(attempt.released_at.is_(None), attempt.released_at > at - SECONDS))
        .where(attempt.ended_at > at - SECONDS, attempt.nodes.is_not(None), attempt.result.is_not(None))
        .order_by(attempt.ended_at.desc())
        .limit(_MOST)
    )
    found = [(job_id, frozenset(nodes), result or {}) for job_id, nodes, result in rows]
    away = [nodes for _, nodes, result in found if result.get("code") == STORAGE_UNAVAILABLE]
    # If no node reaches storage, that says nothing about any single node.
    is_away = len(away) > 1 and not frozenset.intersection(*away)
    outcomes = [
        Outcome(job_id, nodes, _is_fault(result))
        for job_id, nodes, result in found
        if not (is_away and result.get("code") == STORAGE_UNAVAILABLE)
    ]
    return count_faults(reversed(outcomes))


def failed_on(session: Session, at: float) -> dict[str, frozenset[str]]:
    """The nodes on which a platform fault has failed each queued job since the job last saved a state."""
    attempt, job = tables.Attempt, tables.Job
    rows = session.execute(
        select(attempt.job_id, attempt.nodes, attempt.result)
        .join(job, job.id == attempt.job_id)
        .where(or_(attempt.released_at.is_(None), attempt.released_at > at - SECONDS))
        .where(attempt.nodes.is_not(None), attempt.result.is_not(None))
        .where(attempt.ended_at > func.coalesce(job.resume_saved_at, at - SECONDS))
        .where(job.status == JobStatus.QUEUED.value)
        .limit(_MOST)
    )
    nodes: dict[str, frozenset[str]] = {}
    for job_id, there, result in rows:
        if _is_fault(result):
            nodes[job_id] = nodes.get(job_id, frozenset()) | frozenset(there)
    return nodes


def count_faults(outcomes: Iterable[Outcome]) -> dict[str, int]:
    """`outcomes` are oldest first. If an attempt on several nodes fails, any of them may be the cause."""
    failed: dict[str, set[str]] = {}
    for outcome in outcomes:
        for node in outcome.nodes:
            if outcome.is_fault:
                failed.setdefault(node, set()).add(outcome.job_id)
            else:
                failed.pop(node, None)
    return {node: len(job_ids) for node, job_ids in failed.items()}


def keeps_failing(faults: int) -> bool:
    """Whether a node with this many faults is avoided."""
    return faults >= FAULTS


def _is_fault(result: dict[str, Any] | None) -> bool:
    return result is not None and result["state"] == "failed" and not result["is_user_fault"]
