"""How tokens are drawn for requests that do not say."""

from cluster.contracts.bases import SamplingDefaults
from cluster.contracts.generation import Sampling
from tests.api import BASE, LiveApi


def asked(live: LiveApi) -> Sampling:
    """What the engine was asked last."""
    return live.engine.requests[-1].sampling


def test_without_a_word_it_is_openais_default_whatever_the_base_recommends(live: LiveApi) -> None:
    with live.openai() as client:
        client.chat.completions.create(model=BASE.alias, messages=[{"role": "user", "content": "Hi"}])
        answer = client.responses.create(model=BASE.alias, input="Hi")
    assert (asked(live).temperature, asked(live).top_p, asked(live).top_k) == (1, 1, 0)
    assert (answer.temperature, answer.top_p) == (1, 1)


def test_the_catalogue_may_say_otherwise_and_the_request_has_the_last_word(live: LiveApi) -> None:
    defaults = SamplingDefaults(temperature=0.7, top_p=0.8, top_k=20, repetition_penalty=1.05)
    assert isinstance(live.state.catalogue, dict)
    live.state.catalogue[BASE.alias] = BASE.model_copy(update={"sampling": defaults})
    hi = [{"role": "user", "content": "Hi"}]
    with live.openai() as client:
        client.chat.completions.create(model=BASE.alias, messages=hi)  # type: ignore[arg-type]
        found = asked(live)
        assert defaults == SamplingDefaults(**found.model_dump(include=set(SamplingDefaults.model_fields)))
        own = {"temperature": 0, "extra_body": {"top_k": -1}}
        client.chat.completions.create(model=BASE.alias, messages=hi, **own)  # type: ignore[call-overload]
        assert (asked(live).temperature, asked(live).top_p, asked(live).top_k) == (0, 0.8, 0)
        client.completions.create(model=BASE.alias, prompt="Hi", top_p=0.5)
        assert (asked(live).temperature, asked(live).top_p) == (0.7, 0.5)
        answer = client.responses.create(model=BASE.alias, input="Hi", temperature=0.2)
    assert (answer.temperature, answer.top_p) == (0.2, 0.8)
