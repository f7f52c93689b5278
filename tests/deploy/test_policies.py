"""Policies of the storage."""

import json
from typing import Any

from tests.deploy.manifests import DEPLOY


def statements(name: str) -> list[dict[str, Any]]:
    return json.loads((DEPLOY / "storage" / name).read_text())["Statement"]


def test_the_policy_for_ceph_differs_only_in_the_condition_that_ceph_does_not_take_for_met() -> None:
    general = statements("cluster-policy.json")
    assert [one.pop("Condition") for one in general if "Condition" in one] != []
    assert statements("cluster-policy-ceph.json") == general
