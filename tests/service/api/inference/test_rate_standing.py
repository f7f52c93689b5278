"""Refusals and headers, in OpenAI's words."""

from cluster.contracts.errors import RateLimited
from service.api.inference.rate_standing import Rate, Standing, headers_of, refusal_of
from service.db.organization.api_keys import Principal
from service.db.tenancy import Tenant

TENANT = Tenant("org-1", "proj-1")
RPM = Rate.of_project(TENANT, "base-1", "requests_per_minute", 5000)
TPM = Rate.of_project(TENANT, "base-1", "tokens_per_minute", 30_000)
KEY_TPM = Rate.of_key(Principal("key-1", TENANT, frozenset()), "tokens_per_minute", 600)


def test_the_headers_say_what_is_left_and_when_it_is_full_again() -> None:
    assert headers_of([Standing(RPM, 4999), Standing(TPM, 29_976.4)]) == {
        "x-ratelimit-limit-requests": "5000",
        "x-ratelimit-remaining-requests": "4999",
        "x-ratelimit-reset-requests": "12ms",
        "x-ratelimit-limit-tokens": "30000",
        "x-ratelimit-remaining-tokens": "29976",
        "x-ratelimit-reset-tokens": "48ms",
    }


def test_the_headers_are_about_the_limit_that_is_closest() -> None:
    headers = headers_of([Standing(TPM, 20_000), Standing(KEY_TPM, -60)])
    assert headers == {
        "x-ratelimit-limit-tokens": "600",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "1m6s",
    }


def test_a_refusal_names_limit_use_request_and_wait() -> None:
    error = refusal_of([Standing(RPM, 4000), Standing(TPM, 63.0)], [1, 385])
    assert error.message == (
        "Rate limit reached for base-1 in organization org-1 project proj-1 on tokens per min (TPM): "
        "Limit 30000, Used 29937, Requested 385. Please try again in 644ms."
    )
    assert (error.unit, error.code, round(error.retry_after_seconds, 3)) == (
        "tokens",
        "rate_limit_exceeded",
        0.644,
    )


def test_a_request_that_never_fits_is_told_so() -> None:
    error: RateLimited = refusal_of([Standing(RPM, 5000), Standing(TPM, 30_000)], [1, 31_538])
    assert error.message.startswith("Request too large for base-1 in organization org-1 project proj-1")
    assert "Limit 30000, Requested 31538. The input or output tokens must be reduced" in error.message
    assert not error.can_wait
    nothing = Rate.of_project(TENANT, "base-1", "requests_per_minute", 0)
    assert not refusal_of([Standing(nothing, 0)], [1]).can_wait
    assert headers_of([Standing(nothing, 0)])["x-ratelimit-reset-requests"] == "0s"


def test_what_costs_nothing_is_not_refused_for_a_limit_of_zero() -> None:
    no_tokens = Rate.of_project(TENANT, "base-1", "tokens_per_minute", 0)
    error = refusal_of([Standing(no_tokens, 0), Standing(RPM, 0)], [0, 1])
    assert (error.unit, error.can_wait) == ("requests", True)
