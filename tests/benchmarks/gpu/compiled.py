"""LoRA on packed chats with compiled layers, beside the same without."""

from tests.benchmarks.gpu.sizes import Finding, Findings, Setting
from tests.benchmarks.gpu.tasks import are_close, figures, measured, task_for


def run(setting: Setting) -> Findings:
    expected = measured(setting, task_for(setting, "middle"))
    task = task_for(setting, "middle", is_compiled=True)
    found = measured(setting, task)
    speed_up = found.tokens_per_second / expected.tokens_per_second
    yield Finding(
        "compiled", are_close(found, expected), {"speed_up": round(speed_up, 2), **figures(found, task)}
    )
