"""Requests stay below vLLM's limits, which its process checks and not its client."""

from importlib import import_module

import pytest

from cluster.contracts.generation import MAX_BIASES, MAX_STOP_TOKENS

_OWN_STOP_TOKENS = 16
"""More than any model has of its own."""
_KNOWN = {"MAX_NUM_LOGIT_BIAS_TOKENS": 1024, "MAX_NUM_STOP_TOKEN_IDS": 128}
"""Of vLLM 0.32, in `vllm/v1/worker/gpu/sample/logit_bias.py`."""


def _limit(name: str) -> int:
    try:
        module = import_module("vllm.v1.worker.gpu.sample.logit_bias")
    except ImportError:
        return _KNOWN[name]
    found: int = getattr(module, name)
    return found


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("MAX_NUM_LOGIT_BIAS_TOKENS", MAX_BIASES),
        ("MAX_NUM_STOP_TOKEN_IDS", MAX_STOP_TOKENS + _OWN_STOP_TOKENS),
    ],
)
def test_what_a_request_may_hold_fits_into_vllm(name: str, most: int) -> None:
    assert most <= _limit(name)
