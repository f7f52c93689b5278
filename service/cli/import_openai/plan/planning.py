"""Creates a plan for an archive, and estimates the plan on this server."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service.cli.failures import CommandFailed, Unavailable
from service.cli.http.retrying import retried
from service.cli.import_openai.plan.proposing import Proposal, names_of, original_base
from service.cli.import_openai.plan.uploading import Uploads
from service.cli.remote import Api

_RETRY_SECONDS = 60.0


def generating_bases(api: Api) -> dict[str, str | None]:
    """The base models that generate text, each with why it is unavailable now, or None."""
    models = {model["id"]: model["tunery"] for model in api.get("/models")["data"]}
    return {
        id: about["unavailable"]
        for id, about in models.items()
        if about["base"] == id and about.get("architecture") != "encoder"
    }


def available(bases: Mapping[str, str | None]) -> list[str]:
    return [name for name, reason in bases.items() if reason is None]


def remarks_on_bases(
    jobs: Sequence[Mapping[str, Any]],
    plan: Sequence[Proposal],
    bases: Mapping[str, str | None],
    chosen: Collection[str],
    chosen_for: Collection[str] = (),
) -> Iterator[str]:
    """Says which base is proposed for which old one and why, which bases are unavailable, and which of the
    old models in `chosen_for` no job has. Bases that the user chose need no reason."""
    old = {job["id"]: original_base(str(job.get("model"))) for job in jobs}
    found = {name for original in old.values() for name in names_of(original)}
    for name in chosen_for:
        if name not in found:
            yield f"No job was tuned from {name}: they were from {', '.join(sorted(set(old.values())))}."
    pairs = {(old[entry.job], entry.request["model"]) for entry in plan if entry.request is not None}
    for original, base in sorted(pairs):
        if base in bases and base not in chosen and base not in names_of(original):
            yield (
                f"{base} is proposed for {original}: it is as large among this server's bases as that is "
                f"among OpenAI's. `--base-for {original}=NAME` chooses another."
            )
    for base, reason in bases.items():
        if reason is not None and base not in chosen:
            yield f"{base} is not proposed, because it is unavailable: {reason}"


@dataclass(frozen=True)
class Estimated:
    job: str
    seconds_low: float | None
    seconds_high: float | None
    price_low: float | None
    price_high: float | None
    currency: str | None
    tokens: int
    problem: str | None = None


def propose_and_estimate(
    api: Api,
    uploads: Uploads,
    propose: Callable[[list[str]], list[Proposal]],
    bases: dict[str, str | None],
    advance: Callable[[], None],
) -> tuple[list[Proposal], list[Estimated]]:
    """Proposes from the available ones of `bases`. Bases that an estimate finds unavailable are marked in
    `bases`, and the proposals are made again without them: a server that has just started does not know about
    all of them."""
    while True:
        plan = propose(available(bases))
        found = estimate_plan(api, uploads, plan, advance)
        lost = {
            name: reason
            for name, reason in generating_bases(api).items()
            if reason is not None and bases.get(name, reason) is None
        }
        if not lost:
            return plan, found
        bases.update(lost)


def estimate_plan(
    api: Api, uploads: Uploads, plan: Sequence[Proposal], advance: Callable[[], None]
) -> list[Estimated]:
    """Uploads the files, because an estimate reads them. A job that continues from a model of the plan is
    estimated as if it began from that model's base."""
    requests = {entry.replaces: entry.request for entry in plan if entry.replaces}
    found = []
    for entry in plan:
        advance()
        if entry.request is None:
            continue
        body = dict(entry.request)
        seen = set[str]()
        while (parent := requests.get(body["model"])) is not None and body["model"] not in seen:
            seen.add(body["model"])
            body["model"] = parent["model"]
        try:
            for field in ("training_file", "validation_file"):
                if body.get(field):
                    body[field] = uploads.id_of(body[field])
            found.append(_estimated(entry.job, _estimate(api, body)))
        except CommandFailed as error:
            found.append(Estimated(entry.job, None, None, None, None, None, 0, str(error)))
    return found


def _estimate(api: Api, body: dict[str, Any]) -> dict[str, Any]:
    def ask() -> dict[str, Any]:
        try:
            return dict(api.post("/fine_tuning/jobs/estimate", body))
        except Unavailable as error:
            # Waiting helps with a large file, because the server reads it for longer than a request takes.
            if reason := generating_bases(api).get(body["model"]):
                raise CommandFailed(reason) from error
            raise

    return retried(ask, within_seconds=_RETRY_SECONDS)


def _estimated(job: str, estimate: dict[str, Any]) -> Estimated:
    time = (estimate["time"] or {}).get("total") or {}
    price = estimate["price"] or {}
    return Estimated(
        job,
        time.get("low"),
        time.get("high"),
        price.get("low"),
        price.get("high"),
        price.get("currency"),
        estimate["tokens"]["trained"],
    )
