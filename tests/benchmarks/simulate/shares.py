"""How fairly projects were served while they competed."""

from collections.abc import Mapping


class Shares:
    """Compares what each project held with its max-min fair share of all that was held, whenever projects
    wanted more devices than there were: those that wanted less than an equal share had what they wanted, and
    the others shared the rest equally (Bertsekas and Gallager, Data Networks, 6.5.2)."""

    def __init__(self, held: Mapping[str, int]) -> None:
        """`held` are the devices of each project, now and whenever time passes."""
        self._held = held
        self._wanted: dict[str, int] = {}
        self._had: dict[str, float] = {}
        self._due: dict[str, float] = {}

    def want(self, project_id: str, devices: int) -> None:
        """Devices of jobs that wait."""
        self._wanted[project_id] = self._wanted.get(project_id, 0) + devices

    def pass_time(self, seconds: float) -> None:
        waiting = [project_id for project_id, wanted in self._wanted.items() if wanted]
        if len(waiting) < 2 or not seconds:
            return
        demand = {
            project_id: held + self._wanted.get(project_id, 0)
            for project_id, held in (dict.fromkeys(waiting, 0) | dict(self._held)).items()
            if held or self._wanted.get(project_id)
        }
        remaining = float(sum(self._held.values()))
        for place, (project_id, wanted) in enumerate(sorted(demand.items(), key=lambda each: each[1])):
            share = min(wanted, remaining / (len(demand) - place))
            remaining -= share
            self._due[project_id] = self._due.get(project_id, 0.0) + share * seconds
            held = self._held.get(project_id, 0)
            self._had[project_id] = self._had.get(project_id, 0.0) + held * seconds

    def jain(self) -> float:
        """Jain's index of what each had of its due: 1 if all had the same part of it."""
        parts = [self._had[project_id] / due for project_id, due in self._due.items() if due]
        return sum(parts) ** 2 / (len(parts) * sum(part**2 for part in parts)) if parts else 1.0
