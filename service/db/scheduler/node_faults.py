"""Nodes on which attempts keep failing: a device or a disk that is broken fails one job after the other."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from cluster.contracts.errors import STORAGE_UNAVAILABLE
from cluster.contracts.jobs import JobStatus
from service.db import tables

SECONDS = 1800.0
"""How long faults are remembered, and so how long a node is avoided after its last one at most."""
FAULTS = 2
"""A node is avoided once attempts of so many jobs have failed on it since one last ended well there. The
retries of one job count once: its own code or data may be what fails."""
_MOST = 1000


@dataclass(frozen=True, slots=True)
class Faults:
    """Faults of the platform in the last half hour."""

    of_nodes: Mapping[str, int]
    """The number of jobs of which attempts have failed on each node since one last ended well there."""
    of_jobs: Mapping[str, frozenset[str]]
    """The nodes on which each queued job has failed since it last saved a state."""


class Outcome(NamedTuple):
    job_id: str
    nodes: Iterable[str]
    is_fault: bool
    """Whether the platform failed the attempt. Otherwise it ended as it should, or by a fault of its job."""


def node_faults(session: Session, at: float) -> dict[str, int]:
    """On each node, of how many jobs attempts have failed since one last ended well. Nodes without any are
    left out."""
    attempt = tables.Attempt
    rows = session.execute(
        select(attempt.job_id, attempt.nodes, attempt.result)
        # No attempt is released before it has ended, and there is an index of when they were.
        .where(or_(attempt.released_at.is_(None), attempt.released_at > at - SECONDS))
        .where(attempt.ended_at > at - SECONDS, attempt.nodes.is_not(None), attempt.result.is_not(None))
        .order_by(attempt.ended_at.desc())
        .limit(_MOST)
    )
    found = [(job_id, frozenset(nodes), result or {}) for job_id, nodes, result in rows]
    away = [nodes for _, nodes, result in found if result.get("code") == STORAGE_UNAVAILABLE]
    # If no node reaches the storage, that says nothing about any of them.
    is_away = len(away) > 1 and not frozenset.intersection(*away)
    outcomes = [
        Outcome(job_id, nodes, _is_fault(result))
        for job_id, nodes, result in found
        if not (is_away and result.get("code") == STORAGE_UNAVAILABLE)
    ]
    return count_faults(reversed(outcomes))


def failed_on(session: Session, at: float) -> dict[str, frozenset[str]]:
    """The nodes on which each queued job has failed by the platform's fault since it last saved a state."""
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
    """`outcomes` are oldest first. If an attempt fails on several nodes, it may be any of them."""
    failed: dict[str, set[str]] = {}
    for outcome in outcomes:
        for node in outcome.nodes:
            if outcome.is_fault:
                failed.setdefault(node, set()).add(outcome.job_id)
            else:
                failed.pop(node, None)
    return {node: len(job_ids) for node, job_ids in failed.items()}


def keeps_failing(faults: int) -> bool:
    """Whether a node with so many faults is avoided."""
    return faults >= FAULTS


def _is_fault(result: dict[str, Any] | None) -> bool:
    return result is not None and result["state"] == "failed" and not result["is_user_fault"]
