"""How long a project's data is kept: by the project's own terms, or else its organization's, both within the
bounds that the operator sets, or else by the server's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from cluster.contracts.errors import InvalidRequest

RetentionKind = Literal[
    "files", "results", "events", "usage", "checkpoints", "resume_states", "data_reports", "exports"
]
KINDS: tuple[RetentionKind, ...] = get_args(RetentionKind)
DAY_SECONDS = 86_400.0

Days = Mapping[RetentionKind, float | None]
"""Days by kind; None keeps the data forever. A missing kind is left to the next level."""


@dataclass(frozen=True, slots=True)
class Term:
    days: float | None
    """None keeps the data forever."""
    set_by: Literal["project", "organization", "server"]

    @property
    def seconds(self) -> float | None:
        return None if self.days is None else self.days * DAY_SECONDS


@dataclass(frozen=True, slots=True)
class RetentionRules:
    """The operator's rules: the terms of projects without terms of their own, and the bounds of all terms."""

    days: Days = field(default_factory=dict)
    least: Mapping[RetentionKind, float] = field(default_factory=dict)
    """Days that organizations and projects may not go below."""
    most: Mapping[RetentionKind, float] = field(default_factory=dict)
    """Days after which nothing is kept, whatever `days` and `least` say."""

    def terms(self, project: Days | None, organization: Days | None) -> dict[RetentionKind, Term]:
        return {kind: self._term(kind, project or {}, organization or {}) for kind in KINDS}

    def check(self, days: Days) -> None:
        """Raises InvalidRequest (`retention_out_of_bounds`)."""
        for kind, wanted in days.items():
            if self._bounded(kind, wanted) == wanted:
                continue
            least, most = self._least(kind), self.most.get(kind)
            bounds = [] if least is None else [f"at least {least:g}"]
            bounds += [] if most is None else [f"at most {most:g}"]
            said = "forever" if wanted is None else f"{wanted:g} days"
            raise InvalidRequest(
                f"This server keeps {kind} for {' and '.join(bounds)} days, and not for {said}.",
                code="retention_out_of_bounds",
                param=kind,
            )

    def _term(self, kind: RetentionKind, project: Days, organization: Days) -> Term:
        if kind in project:
            return Term(self._bounded(kind, project[kind]), "project")
        if kind in organization:
            return Term(self._bounded(kind, organization[kind]), "organization")
        return Term(self._capped(kind, self.days.get(kind)), "server")

    def _bounded(self, kind: RetentionKind, days: float | None) -> float | None:
        """Applies the bounds, which the operator may have changed since the days were set."""
        least = self._least(kind)
        return self._capped(kind, days if days is None or least is None else max(days, least))

    def _capped(self, kind: RetentionKind, days: float | None) -> float | None:
        most = self.most.get(kind)
        return days if most is None else most if days is None else min(days, most)

    def _least(self, kind: RetentionKind) -> float | None:
        least = self.least.get(kind)
        return None if least is None else self._capped(kind, least)
