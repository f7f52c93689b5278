"""Exports a replica's metrics through Ray, whose nodes serve them to Prometheus."""

from collections.abc import Iterable

from ray.util.metrics import Counter, Gauge

from cluster.contracts.generation import EngineStats
from cluster.serving.measured import SERVING, EngineMeasures


class RayMetrics:
    """Must be created in a Ray process."""

    def __init__(self) -> None:
        self._measures = EngineMeasures()
        # Ray prepends `ray_` to names, and appends `_total` to those of counters.
        names = {one: one.name.removeprefix("ray_").removesuffix("_total") for one in SERVING}
        self._gauges = {
            one: Gauge(names[one], one.help, one.labels) for one in SERVING if one.kind == "gauge"
        }
        self._counters = {
            one: Counter(names[one], one.help, one.labels) for one in SERVING if one.kind == "counter"
        }

    def record(self, engines: Iterable[EngineStats]) -> None:
        for metric, base, value in self._measures.read(engines):
            if metric in self._gauges:
                self._gauges[metric].set(value, {"base": base})
            elif value > 0:
                self._counters[metric].inc(value, {"base": base})
