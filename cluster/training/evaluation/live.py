"""Measures the run's own model as it will be served: the model that it began as, the one that the publish
gate compares, and the present one. The model in training is measured; no other is loaded beside it."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from cluster.bases.resolve import base_folder
from cluster.contracts.jobs import JobSpec
from cluster.contracts.manifest import Probe, ProbeScores
from cluster.training.checkpoints.export import DTYPES, is_adapted
from cluster.training.checkpoints.probe import (
    PROBE_ROWS,
    probe_scores_of_tensors,
    probe_tensors,
    score_probe,
    with_base,
)
from cluster.training.data.datasets import Datasets
from cluster.training.evaluation.scores import Before, Scorer, Scores
from cluster.training.heap import release_dropped_model
from cluster.training.loop.compute import Compute
from cluster.training.loop.hooks import RunHooks
from cluster.training.loop.objectives import LanguageObjective, Objective, inside
from cluster.training.loop.reporting import PassProgress
from cluster.training.model.adapters import changes_base, trains_base, without_adapter
from cluster.training.model.full_precision import BaseFiles, in_full_precision
from cluster.training.model.head import Head
from cluster.training.model.interleaving import Interleaving
from cluster.training.model.merged import ReadWeight, as_merged, weight_from
from cluster.training.model.trainee import Trainee, is_served_quantized, layers, load_decoder
from cluster.training.starting_point import StartingPoint

_BEFORE, _BASE, _BEST = "before/", "base_probe/", "best_scores"
"""Prefixes of the names of the tensors that are kept with a job."""
_AT_ONCE = 8
"""Number of passes in flight at once if each would otherwise read all of a base's files. Without gradients, a
waiting pass holds the activations of one layer; a training pass holds those of all layers, or their inputs
and one layer's activations."""


@dataclass(slots=True)
class LiveModel:
    spec: JobSpec
    data: Datasets
    start: StartingPoint
    trainee: Trainee
    objective: Objective
    scorer: Scorer
    hooks: RunHooks
    base_probe: ProbeScores | None = None
    """The catalogue's base on the probe's rows. None for an encoder, whose base has no classes."""
    _before: Before | None = None
    _best: Scores | None = None

    def measure_start(self, kept: Mapping[str, Tensor], base_probe: ProbeScores | None) -> None:
        """Measures what cannot be measured later, or takes it from what `tensors` returned before. The model
        has the weights that the job began with. `base_probe` has the base's scores if the job began with
        other weights."""
        self.base_probe = probe_scores_of_tensors(_named(kept, _BASE)) or base_probe
        if self.base_probe is None and self.spec.base.architecture == "decoder":
            is_quantized = self.trainee.form == "qlora"
            with self._as_served(is_quantized, is_adapter_off=self._is_off_at_start) as interleaving:
                self.base_probe = self._probe(interleaving, PROBE_ROWS)
        self._before = Before.of_tensors(_named(kept, _BEFORE))
        if self._before is None and not self._shows_start:
            self._before = self._measure_before("Scoring the examples before training")
        if _BEST in kept:
            self._best = Scores.of_tensor(kept[_BEST])

    def tensors(self) -> dict[str, Tensor]:
        """Returns what must be kept with the job, equal on all workers."""
        kept: dict[str, Tensor] = {}
        if self.base_probe is not None:
            kept |= {_BASE + name: value for name, value in probe_tensors(self.base_probe).items()}
        if self._before is not None and not self._shows_start:
            kept |= {_BEFORE + name: value for name, value in self._before.tensors().items()}
        if self._best is not None:
            kept[_BEST] = self._best.tensor()
        return kept

    def probe(self) -> Probe:
        """Returns the probe of the model as it is now, beside the base's scores."""
        base = self.base_probe
        # If the job began under an earlier release, the base was scored on fewer rows.
        most_rows = PROBE_ROWS if base is None else len(base.logprobs)
        with self._as_served(self._is_quantized) as interleaving:
            probe = self._probe(interleaving, most_rows)
        return probe if base is None else with_base(probe, base)

    @property
    def read_weight(self) -> ReadWeight:
        """A function that reads the weights of layers in 4 bits as serving has them."""
        is_read = self.spec.config.type == "qlora" and not self._is_quantized
        return weight_from(BaseFiles(self.start.weights) if is_read else None)

    def keep_best(self) -> None:
        """Measures the model as it is now. It may become the job's model, and will not exist later."""
        self._best = self._measure_after()

    def scores(self, *, is_best: bool) -> tuple[Scores, Scores] | None:
        """Returns the scores of the model before training, and of the present one, or those of the last
        `keep_best` if `is_best`. None if they could not be measured."""
        before = self._find_before()
        after = self._best if is_best else self._measure_after()
        return None if before is None or after is None else (before.scores, after)

    @property
    def _model(self) -> Any:
        return self.trainee.model

    @property
    def _is_quantized(self) -> bool:
        return is_served_quantized(self.spec.base, self.spec.config)

    @property
    def _is_off_at_start(self) -> bool:
        """Whether the model has an adapter that must be switched off to get the base before the first
        step."""
        return is_adapted(self._model) and not changes_base(self.spec.config)

    @property
    def _shows_start(self) -> bool:
        """Whether switching off the adapter always gives the model that the job began with."""
        is_kept = not trains_base(self.spec.config)
        return self.start.adapter is None and self._is_off_at_start and is_kept

    def _find_before(self) -> Before | None:
        if self._before is None and self._shows_start:
            self._before = self._measure_before("Evaluation")
        return self._before

    def _measure_before(self, what: str) -> Before | None:
        is_quantized = self.start.adapter is not None and self.start.form == "qlora"
        is_off = self.start.adapter is None and self._is_off_at_start
        with self._as_served(is_quantized, is_adapter_off=is_off) as interleaving:
            return self.scorer.before(self._progress(what), interleaving)

    def _measure_after(self) -> Scores | None:
        before = self._find_before()
        if before is None:
            return None
        with self._as_served(self._is_quantized) as interleaving:
            return self.scorer.after(before, self._progress("Evaluation"), interleaving)

    def _progress(self, what: str) -> PassProgress:
        progress = PassProgress(self.hooks, what)
        progress.expect(self.scorer.n_passes())
        return progress

    def _probe(self, interleaving: Interleaving, most_rows: int) -> Probe:
        is_whole = self.trainee.form == "full"
        return _probe(
            self.objective,
            self._model,
            self.data,
            self.scorer.compute,
            interleaving,
            is_whole=is_whole,
            most_rows=most_rows,
        )

    @contextmanager
    def _as_served(self, is_quantized: bool, *, is_adapter_off: bool = False) -> Iterator[Interleaving]:
        """Within the context, the model computes as it will when served. With `is_quantized`, it computes
        with weights in 4 bits, if it has them. Yields how to run its passes: several at once if they read
        weights from files."""
        reads = self.spec.config.type == "qlora" and not is_quantized
        interleaving = _interleaving(self.spec, self.scorer.compute.device) if reads else Interleaving()
        with ExitStack() as stack:
            dtype = DTYPES[self.spec.base.dtype]
            if reads:
                stack.enter_context(in_full_precision(self._model, self.start.weights, dtype, interleaving))
            if is_adapter_off:
                stack.enter_context(without_adapter(self._model))
            elif self.trainee.form == "full" and is_adapted(self._model):
                stack.enter_context(as_merged(self._model, dtype, self.read_weight, interleaving))
            yield interleaving


def base_scores(spec: JobSpec, data: Datasets, compute: Compute) -> ProbeScores:
    """Scores the catalogue's base on the probe's rows, for a job that begins with other weights. Each worker
    loads its part of the base and frees it afterwards. All workers call this together."""
    found = _base_scores(spec, data, compute)
    release_dropped_model(compute.device)
    return found


def _base_scores(spec: JobSpec, data: Datasets, compute: Compute) -> ProbeScores:
    folder, device, dtype = base_folder(spec.base), compute.device, DTYPES[spec.base.dtype]
    frozen = "qlora" if spec.config.type == "qlora" else "lora"
    config = spec.config.model_copy(update={"type": frozen})
    model = load_decoder(folder, spec.base, config, device, world=compute.world)
    objective = LanguageObjective(model, Head())
    if compute.world.is_sharded:
        compute.world.shard(objective, layers(model), device, dtype)
    interleaving = _interleaving(spec, device) if frozen == "qlora" else Interleaving()
    with in_full_precision(model, folder, dtype, interleaving):
        return _probe(objective, model, data, compute, interleaving, is_whole=True)


def _interleaving(spec: JobSpec, device: torch.device) -> Interleaving:
    """Runs passes of a model in 4 bits, which workers never share."""
    # Compiled layers must stay in one thread.
    return Interleaving(1 if spec.config.compile else _AT_ONCE, device)


def _probe(
    objective: Objective,
    model: Any,
    data: Datasets,
    compute: Compute,
    interleaving: Interleaving,
    *,
    is_whole: bool,
    most_rows: int = PROBE_ROWS,
) -> Probe:
    # The trained weights are in fp32, but they are served in the base's type.
    computing = compute.autocast if is_whole else nullcontext
    rows = data.training if data.held_out is None else data.held_out
    with computing():
        return inside(objective, partial(score_probe, model, rows, interleaving, most_rows=most_rows))


def _named(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
