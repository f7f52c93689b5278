"""Faults of an installation. Each fault lasts for a while; then the broken part works again, or is replaced
by whatever keeps it up."""

import random
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

from tests.chaos.installation import GRACE_SECONDS, HEARTBEAT_SECONDS, LEADER_SECONDS, Installation


@dataclass(frozen=True, slots=True)
class FaultKind:
    name: str
    weight: int
    """Weight with which it is drawn."""
    strike: Callable[[Installation, random.Random], bool]
    """Returns whether there was anything to break."""


def _kill(name: str) -> Callable[[Installation, random.Random], bool]:
    """kill -9 of one process with `name` in its command line."""

    def strike(installation: Installation, rng: random.Random) -> bool:
        found = installation.find(name)
        if found:
            with suppress(psutil.NoSuchProcess):
                rng.choice(found).kill()
        return bool(found)

    return strike


def _stop(name: str, seconds: float) -> Callable[[Installation, random.Random], bool]:
    """SIGSTOP of one process, and SIGCONT after its lease has run out."""

    def strike(installation: Installation, rng: random.Random) -> bool:
        found = installation.find(name)
        if found:
            victim = rng.choice(found)
            with suppress(psutil.NoSuchProcess):
                victim.send_signal(signal.SIGSTOP)
                time.sleep(seconds)
                victim.send_signal(signal.SIGCONT)
        return bool(found)

    return strike


def _lose_node(installation: Installation, rng: random.Random) -> bool:
    """Kills all processes of a node at once. Another node joins later."""
    alive = [node for node in installation.nodes if node.runs]
    if not alive:
        return False
    with suppress(psutil.NoSuchProcess):
        node = psutil.Process(rng.choice(alive).process.pid)
        for process in [*node.children(recursive=True), node]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
    time.sleep(rng.uniform(0, 10))
    return True


def _kill_node_raylet(installation: Installation, rng: random.Random) -> bool:
    """Kills the raylet of a node other than the head."""
    nodes = {node.process.pid for node in installation.nodes}
    raylets = [one for one in installation.find("raylet/raylet") if one.ppid() in nodes]
    if raylets:
        with suppress(psutil.NoSuchProcess):
            rng.choice(raylets).kill()
    return bool(raylets)


def _kill_everything(installation: Installation, rng: random.Random) -> bool:
    """Kills the supervisor, with which everything except the nodes ends."""
    if installation.process is None:
        return False
    installation.process.kill()
    installation.process.wait()
    return True


def _database_outage(installation: Installation, rng: random.Random) -> bool:
    with installation.database.outage():
        time.sleep(rng.choice((2, 5, 10, 60)))
    return True


def _store_errors(installation: Installation, rng: random.Random) -> bool:
    store = installation.store
    store.error_share, store.cut_share = 0.3, 0.05
    store.seconds = rng.choice((0.0, 0.5, 10.0))
    time.sleep(rng.uniform(10, 20))
    store.error_share = store.cut_share = store.seconds = 0.0
    return True


def _full_store(installation: Installation, rng: random.Random) -> bool:
    installation.store.is_full = True
    time.sleep(rng.uniform(5, 10))
    installation.store.is_full = False
    return True


KINDS = (
    FaultKind("kill API", 3, _kill("service.api")),
    FaultKind("kill scheduler", 3, _kill("service.scheduling")),
    FaultKind("kill runner", 4, _kill("cluster.runner")),
    FaultKind("kill worker", 4, _kill("TrainingWorker")),
    FaultKind("kill Serve replica", 2, _kill("ServeReplica")),
    FaultKind("kill raylet", 1, _kill_node_raylet),
    FaultKind("kill GCS", 1, _kill("gcs_server")),
    FaultKind("kill everything", 1, _kill_everything),
    FaultKind("lose node", 1, _lose_node),
    FaultKind("stop runner", 3, _stop("cluster.runner", HEARTBEAT_SECONDS + GRACE_SECONDS + 4)),
    FaultKind("stop worker", 1, _stop("TrainingWorker", 5)),
    FaultKind("stop scheduler", 2, _stop("service.scheduling", LEADER_SECONDS + 2)),
    FaultKind("database outage", 2, _database_outage),
    FaultKind("store errors", 2, _store_errors),
    FaultKind("store full", 1, _full_store),
)


class Draws:
    """Draws faults in a random order: each kind once before any is repeated, and then by weight, so that even
    a short run contains every kind."""

    def __init__(self, kinds: Sequence[FaultKind], rng: random.Random) -> None:
        self._kinds, self._rng = kinds, rng
        self._unmet = rng.sample(kinds, len(kinds))

    def strike(self, installation: Installation) -> FaultKind | None:
        """Returns what was broken; None if there was nothing to break."""
        (by_weight,) = self._rng.choices(self._kinds, [kind.weight for kind in self._kinds])
        for kind in [*self._unmet, by_weight]:
            if kind.strike(installation, self._rng):
                self._unmet = [unmet for unmet in self._unmet if unmet is not kind]
                return kind
        return None
