"""A pytest plugin, which `PYTEST_PLUGINS=tests.reached_lines` loads in all of pytest's processes. It lists
the lines of the scheduler, the database and training that no test reaches in these processes.

It hardly slows the tests down: SlipCover puts a probe before each line of these packages. coverage.py traces
every call in every package, which makes the tests slower by half."""

import json
import sys
from typing import Any

import pytest
import slipcover

WATCHED = ("service/scheduling", "service/db", "cluster/training")
_KEY = "reached lines"


class _ReachedLines:
    def __init__(self) -> None:
        # A probe that has been hit stays: removing it would search all loaded functions.
        self._probes = slipcover.Slipcover(source=list(WATCHED), d_miss_threshold=2**31 - 1)
        self._imports = slipcover.ImportManager(self._probes, slipcover.FileMatcher(sources=WATCHED))
        self._imports.__enter__()
        self._of_workers: list[str] = []

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workeroutput"):
            session.config.workeroutput[_KEY] = json.dumps(self._probes.get_coverage())

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Called when a worker of pytest-xdist has ended."""
        # A crashed worker has no output.
        if (reached := getattr(node, "workeroutput", {}).get(_KEY)) is not None:
            self._of_workers.append(reached)

    def pytest_terminal_summary(self) -> None:
        reached = self._probes.get_coverage()
        for one in self._of_workers:
            slipcover.merge_coverage(reached, json.loads(one))
        slipcover.print_coverage(reached, outfile=sys.stdout, skip_covered=True)


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Runs before the conftest files, which import the watched packages."""
    early_config.pluginmanager.register(_ReachedLines(), "reached lines")
