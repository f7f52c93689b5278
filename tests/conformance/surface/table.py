"""`openapi/CONFORMANCE.md`: what each method of the SDKs does, as they were just seen to."""

from tests.conformance.surface.sdks import Surface, exercise, sdks
from tests.conformance.surface.server import serving
from tests.documents import ROOT

PATH = ROOT / "openapi" / "CONFORMANCE.md"
_HEAD = """# Conformance

Every method of the unmodified OpenAI SDKs that concerns files, uploads, fine-tuning, models, inference and
webhooks, called against a server. `make conformance` writes this table; a test compares it with what it sees.
It covers neither `client.admin`, of which Tunery has projects, keys, limits, usage, costs and the audit log,
nor what Tunery does not have: `batches`, `evals`, `conversations`, `moderations`, `vector_stores`,
`containers`, `skills`, `images`, `audio`, `videos` and `realtime`. Those answer 404 `not_offered`, with the
reason.

"""
_FOOT = """
A blank cell: this SDK does not have the method. Refused methods, with the answer:

"""


def seen() -> dict[str, Surface]:
    """What each SDK's methods do, by the SDK's name and version."""
    found = {}
    for sdk in sdks():
        with serving() as given:
            surface = exercise(sdk, given)
        found[f"{sdk.name} {surface.version}"] = surface
    return found


def document(surfaces: dict[str, Surface]) -> str:
    methods = sorted({method for surface in surfaces.values() for method in surface.outcomes})
    refusals = {
        method: outcome
        for surface in surfaces.values()
        for method, outcome in surface.outcomes.items()
        if outcome is not None
    }
    rows = [["Method", *surfaces], ["---"] * (len(surfaces) + 1)]
    rows += [
        [f"`{method}`", *(_cell(surface, method) for surface in surfaces.values())] for method in methods
    ]
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    reasons = "".join(f"- `{method}`: {refusals[method]}\n" for method in sorted(refusals))
    return f"{_HEAD}{table}{_FOOT}{reasons}"


def _cell(surface: Surface, method: str) -> str:
    if method not in surface.outcomes:
        return ""
    return "works" if surface.outcomes[method] is None else "refused"
