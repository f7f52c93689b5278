"""Controls how pytest-xdist distributes the files that start a Ray or the whole of Tunery: two of them run at
a time, whatever the number of workers. More servers would starve each other."""

from xdist.scheduler import LoadFileScheduling

LANES = (
    (
        "tests/e2e/test_embedded.py",
        "tests/service/scheduling/cluster/test_ray_jobs.py",
    ),
    (
        "tests/e2e/test_faults.py",
        "tests/e2e/test_readme.py",
        "tests/cluster/runner/test_runner.py",
        "tests/cluster/serving/deployment/test_deployment.py",
        "tests/cluster/serving/deployment/test_autoscaling.py",
    ),
)
"""The lanes have about the same amount of work."""


def lane(path: str) -> int | None:
    return next((number for number, files in enumerate(LANES) if path in files), None)


class LaneScheduling(LoadFileScheduling):
    """One worker takes all files of a lane, one after the other; any worker takes any other file."""

    def _split_scope(self, nodeid: str) -> str:
        path = super()._split_scope(nodeid)
        return path if lane(path) is None else f"lane {lane(path)}"
