"""Metrics that serving replicas measure of their engines. Ray exports them, with its own labels beside
ours."""

from collections import defaultdict
from collections.abc import Callable, Iterable

from cluster.contracts.generation import EngineStats
from cluster.contracts.metrics import Metric

RUNNING = Metric("ray_tunery_engine_choices_running", "gauge", "Choices that hold a slot.", ("base",))
WAITING = Metric("ray_tunery_engine_choices_waiting", "gauge", "Choices that wait for a slot.", ("base",))
SLOTS = Metric(
    "ray_tunery_engine_slots",
    "gauge",
    "Choices that can run at once. Each slot has room for the keys and values of a whole context: running "
    "choices by slots is how much of the KV cache is in use.",
    ("base",),
)
ADAPTERS = Metric("ray_tunery_engine_adapters", "gauge", "Tuned weights in memory.", ("base",))
RESERVED = Metric(
    "ray_tunery_engine_reserved_bytes", "gauge", "Device memory that engines may come to use.", ("base",)
)
KV_CACHE = Metric(
    "ray_tunery_engine_kv_cache_bytes",
    "gauge",
    "Keys and values when the contexts of all slots are full. 0 if the engine does not report it.",
    ("base",),
)
TOKENS = Metric(
    "ray_tunery_engine_generated_tokens_total", "counter", "Tokens that engines have generated.", ("base",)
)
ADAPTER_REQUESTS = Metric(
    "ray_tunery_engine_adapter_requests_total", "counter", "Requests to adapters of a base.", ("base",)
)
ADAPTER_LOADS = Metric(
    "ray_tunery_engine_adapter_loads_total",
    "counter",
    "Adapters that were loaded from disk or storage: misses of the cache in memory, whose hits are the other "
    "requests to adapters.",
    ("base",),
)

SERVING = (
    RUNNING,
    WAITING,
    SLOTS,
    ADAPTERS,
    RESERVED,
    KV_CACHE,
    TOKENS,
    ADAPTER_REQUESTS,
    ADAPTER_LOADS,
)
_READ: dict[Metric, Callable[[EngineStats], float]] = {
    RUNNING: lambda stats: stats.running,
    WAITING: lambda stats: stats.waiting,
    SLOTS: lambda stats: stats.slots,
    ADAPTERS: lambda stats: len(stats.adapters),
    RESERVED: lambda stats: stats.reserved_bytes,
    KV_CACHE: lambda stats: stats.cache_bytes,
    TOKENS: lambda stats: stats.generated_tokens,
    ADAPTER_REQUESTS: lambda stats: stats.adapter_requests,
    ADAPTER_LOADS: lambda stats: stats.adapter_loads,
}


class EngineMeasures:
    """Turns snapshots of a replica's engines into figures by base."""

    def __init__(self) -> None:
        self._totals: dict[tuple[Metric, str], float] = {}
        """Values of counters at the last snapshot."""
        self._bases: set[str] = set()

    def read(self, engines: Iterable[EngineStats]) -> list[tuple[Metric, str, float]]:
        """Returns values of gauges, and the increase of counters since the last snapshot. A base whose
        engines are gone is 0 from then on. Counts of an unloaded engine are lost, so everything that a new
        engine has counted is new."""
        found: defaultdict[tuple[Metric, str], float] = defaultdict(float)
        engines = list(engines)
        self._bases |= {stats.base for stats in engines}
        for metric, value_of in _READ.items():
            for stats in engines:
                found[metric, stats.base] += value_of(stats)
        return [
            (metric, base, self._since(metric, base, found[metric, base]))
            for metric in _READ
            for base in sorted(self._bases)
        ]

    def _since(self, metric: Metric, base: str, value: float) -> float:
        if metric.kind == "gauge":
            return value
        before = self._totals.get((metric, base), 0.0)
        self._totals[metric, base] = value
        return value - before if value >= before else value
