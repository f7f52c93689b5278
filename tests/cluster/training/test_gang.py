"""Who sits where in a gang, without Ray."""

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from cluster.contracts.jobs import Placement
from cluster.training.gang import Place, Seat, interface_of, placing, seats


def test_workers_of_a_node_are_neighbours_and_see_the_gpus_of_all_of_them() -> None:
    places = [Place("b", ("1",)), Place("a", ("3",)), Place("b", ("0",)), Place("a", ("2",))]
    assert seats(places) == [
        (3, Seat(0, 4, 0, 2, ("2", "3"))),
        (1, Seat(1, 4, 1, 2, ("2", "3"))),
        (2, Seat(2, 4, 0, 2, ("0", "1"))),
        (0, Seat(3, 4, 1, 2, ("0", "1"))),
    ]


def test_a_workers_own_gpu_is_that_of_its_local_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    places = [Place("a", (str(number),)) for number in range(12)]
    for number, seat in seats(places):
        seat.see_gpus()
        assert os.environ["CUDA_VISIBLE_DEVICES"].split(",")[seat.local_rank] == places[number].gpus[0]


def test_gloo_listens_at_the_interface_with_the_address_that_other_nodes_know() -> None:
    interfaces = {
        "lo": [SimpleNamespace(address="127.0.0.1"), SimpleNamespace(address="::1")],
        "eth0": [SimpleNamespace(address="fe80::1%eth0"), SimpleNamespace(address="10.0.0.7")],
    }
    assert interface_of("10.0.0.7", interfaces) == "eth0"
    assert interface_of("::1", interfaces) == "lo"
    assert interface_of("203.0.113.9", interfaces) is None


_ORDER = """
import sys
from types import SimpleNamespace
from cluster.training import ray_run

def see_gpus():
    print(sorted({"torch", "bitsandbytes", "peft"} & sys.modules.keys()))
    sys.exit()

config = SimpleNamespace(compile=False, type="lora")
spec = SimpleNamespace(config=config, device="cuda", job_id="ftjob-1", attempt=1)
ray_run._work(SimpleNamespace(see_gpus=see_gpus, rank=1), SimpleNamespace(spec=spec))
"""


def test_a_worker_sees_its_gpus_before_it_imports_what_starts_cuda() -> None:
    done = subprocess.run([sys.executable, "-c", _ORDER], capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_a_gang_stands_on_the_nodes_that_were_chosen_or_anywhere_in_its_pool(make_spec: Any) -> None:
    chosen = Placement(pool="gpu", labels={"pool": "gpu"}, nodes={"a": 1, "b": 2})
    assert placing(make_spec({"placement": chosen}, num_workers=3)) == {
        "strategy": "PACK",
        "bundle_label_selector": [
            {"pool": "gpu", "ray.io/node-id": "a"},
            {"pool": "gpu", "ray.io/node-id": "b"},
            {"pool": "gpu", "ray.io/node-id": "b"},
        ],
    }
    anywhere = Placement(pool="gpu", labels={"pool": "gpu"})
    assert placing(make_spec({"placement": anywhere}, num_workers=2)) == {
        "strategy": "PACK",
        "bundle_label_selector": [{"pool": "gpu"}] * 2,
    }
    assert placing(make_spec())["bundle_label_selector"] is None
