"""Asks serving for the measurements of a tuned model that the publish gate and the owner need.

Serving may have room for only one of the tuned model and its base. So measurements are kept between two
tries, and a model is not asked for the same one again: it is then idle by the next try, and makes room for
the other.
"""

from pydantic import ValidationError

from cluster.contracts.errors import NotFound, Overloaded, Unavailable
from cluster.contracts.frozen import FrozenModel
from cluster.contracts.generation import ModelRef
from cluster.contracts.manifest import Manifest, ProbeScores
from cluster.storage.keys import file_key
from cluster.storage.store import ObjectStore
from service.db.ids import measured_file_id
from service.db.jobs.jobs import Job
from service.scheduling.interfaces import ServingClient
from service.scheduling.stopping import stop_warning


class Endings(FrozenModel):
    warning: str | None
    """What `stop_warning` returned."""


class Measured(FrozenModel):
    """Measurements by serving of a model. None: not measured yet, or not needed."""

    model: str
    """The `ModelRef.name`."""
    since: float
    """`Publishing.since`: whoever asks for publishing again may have repaired serving, so everything is then
    measured again."""
    served: ProbeScores | None = None
    """Scores of the probe's rows, as served."""
    endings: Endings | None = None
    served_base: ProbeScores | None = None
    """Scores like `Probe.base`, as served."""


def measure(
    job: Job,
    tuned: ModelRef,
    manifest: Manifest,
    store: ObjectStore,
    serving: ServingClient,
) -> Measured:
    """Measures what no earlier try has measured: the tuned model first, then its base. Raises the errors of
    `ServingClient.score`; if the next try may succeed, the measurements so far are kept for it."""
    assert job.publishing is not None, "a job is published once it is trained"
    is_gated, probe = job.publishing.gate == "check", manifest.probe
    found = _kept(job, store, Measured(model=tuned.name, since=job.publishing.since))
    try:
        if is_gated and found.served is None:
            found = found.model_copy(update={"served": _scores(serving, tuned, probe.token_ids)})
        if found.endings is None:
            warning = stop_warning(tuned, manifest.answer_prompts, serving)
            found = found.model_copy(update={"endings": Endings(warning=warning)})
        if is_gated and probe.base is not None and found.served_base is None:
            base = ModelRef(base=tuned.base) if tuned.full is not None else tuned.owner
            found = found.model_copy(update={"served_base": _scores(serving, base, probe.token_ids)})
    except (Unavailable, Overloaded):
        store.put(_key(job), found.model_dump_json().encode())
        raise
    return found


def _scores(serving: ServingClient, model: ModelRef, rows: list[list[int]]) -> ProbeScores:
    if model.base.architecture == "encoder":
        return ProbeScores(logprobs=serving.classify_scores(model, rows))
    return serving.score(model, rows)


def _kept(job: Job, store: ObjectStore, nothing: Measured) -> Measured:
    """Returns `nothing` unless the same weights were measured for the same `since`."""
    try:
        kept = Measured.model_validate_json(store.get(_key(job)))
    except (NotFound, ValidationError):
        return nothing
    return kept if (kept.model, kept.since) == (nothing.model, nothing.since) else nothing


def _key(job: Job) -> str:
    return file_key(measured_file_id(job.id))
