"""Ray's autoscaler adds nodes for a whole gang, and removes them when nobody asks for them any more."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ray_head import ray_head

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.thorough]

NODE = {"resources": {"CPU": 4, "GPU": 4}, "labels": {"pool": "gpu"}}


def test_nodes_come_for_a_whole_gang_and_go_when_nothing_asks_for_them(tmp_path: Path) -> None:
    with ray_head(tmp_path, {}, num_cpus=1, autoscaled=NODE) as head:
        done = subprocess.run(
            [sys.executable, "-m", "tests.cluster.serving.deployment.asking"],
            env={
                **os.environ,
                "RAY_ADDRESS": head.address,
                "RAY_AUTH_MODE": "token",
                "RAY_AUTH_TOKEN": head.token,
            },
            capture_output=True,
            text=True,
            timeout=540,
        )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert (seen["before"], seen["grown"], seen["shrunk"]) == ([0], [0, 4, 4], [0])
    assert seen["labels"] == ["gpu"]
