"""OpenAI's endpoints that Tunery does not have, with the reason, so that their callers need not guess."""

import re

_ON_PURPOSE = (
    (r"chat/completions(/.*)?", "Tunery does not store chat completions"),
    (r"responses/input_tokens", "Tunery counts a prompt's tokens in the `usage` of its response only"),
    (r"responses/compact", "Tunery does not shorten conversations"),
    (r"responses(/.*)?", "Tunery does not store responses, and takes them by POST only"),
    (r"conversations(/.*)?", "Tunery does not store conversations; send earlier turns with each request"),
    (
        r"batches(/.*)?",
        "Tunery has no batches; send the requests themselves, a limited number at a time, and wait as long "
        "as a 429 says in `Retry-After`",
    ),
    (
        r"(assistants|threads|vector_stores|containers|skills)(/.*)?",
        "Tunery has no assistants or tools of its own",
    ),
    (r"(images|videos|audio|realtime)(/.*)?", "Tunery serves language models only"),
    (
        r"organization/(users|invites|roles|groups)(/.*)?",
        "Tunery has no users; keys and service accounts belong to projects",
    ),
    (r"organization/usage/.*", "Tunery counts completions, embeddings, classifications and fine-tuning"),
    (r"organization/audit_logs(/.*)?", "Tunery lists its audit log, by GET only"),
    (r"organization/certificates(/.*)?", "Tunery does not have this yet"),
    (r"moderations", "Tunery moderates nothing; fine-tune an encoder, and call `/v1/classifications`"),
    (
        r"evals(/.*)?",
        "Tunery evaluates every tuned model when it is trained; see `tunery.evaluation` of its job",
    ),
)


def reason_not_offered(path: str) -> str | None:
    """Returns why Tunery does not have OpenAI's endpoint at this path; None for a path that OpenAI does not
    have."""
    for pattern, reason in _ON_PURPOSE:
        if re.fullmatch(f"/v1/{pattern}", path):
            return reason
    return None
