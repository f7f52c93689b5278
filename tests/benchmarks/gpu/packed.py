"""LoRA on packed chats: activations kept, recomputed, or kept in the host's memory. All learn the same."""

from cluster.contracts.plan import ActivationCheckpointing
from tests.benchmarks.gpu.sizes import Finding, Findings, Setting
from tests.benchmarks.gpu.tasks import are_close, figures, measured, task_for

WAYS: tuple[ActivationCheckpointing, ...] = ("none", "full", "offload")


def run(setting: Setting) -> Findings:
    expected = None
    for way in WAYS:
        task = task_for(setting, "middle", activation_checkpointing=way)
        found = measured(setting, task)
        expected = found if expected is None else expected
        yield Finding(way, are_close(found, expected), figures(found, task))
