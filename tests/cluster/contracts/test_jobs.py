"""What runners and the service say to each other keeps its form from release to release."""

import json

from cluster.contracts.jobs import Finished
from cluster.contracts.weights import WeightsRef


def test_weights_are_named_by_flat_fields_on_the_wire() -> None:
    weights = WeightsRef(digest="d" * 64, manifest_key="jobs/j/manifest.json", form="full")
    finished = Finished.of(weights, trained_tokens=5)
    assert json.loads(finished.model_dump_json()) == {
        "state": "finished",
        "trained_tokens": 5,
        "manifest_key": "jobs/j/manifest.json",
        "manifest_sha256": "d" * 64,
        "form": "full",
        "report": None,
    }
    assert finished.weights == weights
