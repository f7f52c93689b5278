"""Chaos: trains jobs on three Ray nodes while everything is killed, stopped, cut off or full.

`python -m tests.chaos` prints its faults, and then the problems that an auditor finds in the history of all
jobs; it ends with an error if there are any. The seed determines the faults and their order; their targets
also depend on the machine."""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from cluster.storage.location import open_store
from service.db.database import Database
from tests.chaos.auditor import audit, audit_end, most_lost_steps
from tests.chaos.faults import KINDS, Draws, FaultKind
from tests.chaos.history import History, read_history, record_transitions
from tests.chaos.installation import Installation, installed
from tests.chaos.owner import STEPS_OF_AN_EPOCH, Owner
from tests.e2e.server import TUNERY

_UNFINISHED = 9
"""Number of jobs that are in progress at a time: three times as many as can run, because some of them are
paused."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description="Breaks Tunery, and audits it."
    )
    parser.add_argument("--jobs", type=int, default=200, help="the most jobs that are created (200)")
    parser.add_argument("--minutes", type=float, default=30.0, help="of faults (30)")
    parser.add_argument("--every", type=float, default=8.0, help="seconds between two faults, on average (8)")
    parser.add_argument("--settle", type=float, default=10.0, help="minutes for the rest to end (10)")
    parser.add_argument(
        "--only", nargs="+", choices=[kind.name for kind in KINDS], help="faults of these kinds"
    )
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", action="store_true", help="keep logs and objects")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="tunery-chaos-"))
    with (
        installed(folder, options.seed) as installation,
        closing(Database(installation.database_url)) as database,
    ):
        os.environ.update(installation.endpoint.environment)
        record_transitions(database)
        kinds = [kind for kind in KINDS if kind.name in (options.only or kind.name)]
        run = Run(installation, options.seed, options.jobs, kinds)
        try:
            installation.start_whole()
            run.break_things(60 * options.minutes, options.every)
            run.settle(60 * options.settle)
        finally:
            left = installation.stop()
        swept = _sweep(installation)
        history = _history(installation, database, run.owner.accepted)
        problems = [*audit(history, checkpoint_steps=2 * STEPS_OF_AN_EPOCH), *audit_end(history), *swept]
        problems += [f"a process is left: {line}" for line in left]
        problems += [*_unasked(history), *dict.fromkeys(run.problems)]
        _report(run, history, problems)
    if not options.keep:
        subprocess.run(["rm", "-r", folder], check=True)
    else:
        print(f"kept {folder}")
    sys.exit(1 if problems else 0)


class Run:
    def __init__(self, installation: Installation, seed: int, jobs: int, kinds: Sequence[FaultKind]) -> None:
        self._installation = installation
        self._rng = random.Random(seed)
        self._draws = Draws(kinds, self._rng)
        self.owner = Owner(installation, random.Random(seed + 1), jobs)
        self.faults = Counter({kind.name: 0 for kind in kinds})
        self.problems: list[str] = []
        self._begun = time.monotonic()
        self._is_over = threading.Event()

    def break_things(self, seconds: float, every: float) -> None:
        """Injects one fault after the other, while the owner continues and killed parts are restarted, until
        all jobs have ended or the time is up."""
        self._begun = time.monotonic()
        keepers = [
            self._in_background(self._installation.start, 1.0),
            self._in_background(partial(self.owner.act, _UNFINISHED), 1.0),
        ]
        try:
            while time.monotonic() - self._begun < seconds and not self.owner.is_done:
                time.sleep(self._rng.expovariate(1 / every))
                self._break_one()
        finally:
            self._is_over.set()
            for keeper in keepers:
                keeper.join()

    def _break_one(self) -> None:
        at = time.monotonic() - self._begun
        if (kind := self._draws.strike(self._installation)) is not None:
            self.faults[kind.name] += 1
            created, under_way = len(self.owner.accepted), len(self.owner.unfinished)
            print(f"{at:7.1f} s  {kind.name}  ({created} jobs, {under_way} under way)", flush=True)

    def settle(self, seconds: float) -> None:
        """Waits until all jobs have ended and Ray holds nothing for them."""
        deadline = time.monotonic() + seconds
        self._say("nothing breaks any more")
        while time.monotonic() < deadline:
            self._installation.start()
            self.owner.finish()
            if not self.owner.unfinished:
                time.sleep(15)  # Attempts that have ended are released within some ticks.
                break
            time.sleep(1)
        self._say(f"{len(self.owner.unfinished)} jobs unfinished")

    def _say(self, what: str) -> None:
        print(f"{time.monotonic() - self._begun:7.1f} s  {what}", flush=True)

    def _in_background(self, work: Callable[[], None], pause: float) -> threading.Thread:
        def loop() -> None:
            while not self._is_over.wait(pause):
                try:
                    work()
                except Exception as error:
                    self.problems.append(f"{work} failed: {error!r}")

        thread = threading.Thread(target=loop)
        thread.start()
        return thread


def _sweep(installation: Installation) -> list[str]:
    """Runs one sweep of everything that is not needed."""
    time.sleep(2)  # S3's times are whole seconds.
    command = [str(TUNERY), "sweep", "--data", str(installation.folder / "data"), "--grace", "0"]
    done = subprocess.run(command, env=dict(installation.environment), capture_output=True, text=True)
    return [] if done.returncode == 0 else [f"the sweep failed: {done.stderr}"]


def _history(installation: Installation, database: Database, accepted: list[str]) -> History:
    store = open_store(installation.environment["TUNERY_STORAGE_URL"], endpoint_url=installation.endpoint.url)
    return read_history(database, [info.key for info in store.list()], accepted)


def _unasked(history: History) -> list[str]:
    """Jobs that were created without the owner being told: a repeated request has created another one."""
    unknown = [job.id for job in history.jobs if job.id not in history.accepted]
    return [f"{job_id} exists, but nobody was told of it" for job_id in unknown]


def _report(run: Run, history: History, problems: list[str]) -> None:
    print("\n| Fault | Times |\n| --- | ---: |")
    for name, count in sorted((run.faults + run.owner.requests).items()):
        print(f"| {name} | {count} |")
    ends = Counter(job.status for job in history.jobs)
    nodes = {node for attempt in history.attempts for node in attempt.nodes}
    print(f"\n{len(history.jobs)} jobs ({dict(ends)});")
    print(f"{len(history.attempts)} attempts on {len(nodes)} nodes;")
    print(
        f"{len(history.models)} models, {len(history.transitions)} transitions, {len(history.events)} events;"
    )
    lost = most_lost_steps(history)
    print(f"at most {lost} steps done again, with {STEPS_OF_AN_EPOCH} between two checkpoints.")
    print(f"{len(problems)} problem(s)", *problems, sep="\n")


if __name__ == "__main__":
    main()
