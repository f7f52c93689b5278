"""The contract of every engine. Runs once for each backend in conftest.BACKENDS."""

import asyncio
import functools
import itertools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from cluster.bases.resolve import base_folder
from cluster.contracts.errors import (
    ContextLengthExceeded,
    CorruptArtefact,
    InvalidRequest,
    NotFound,
    Overloaded,
    TuneryError,
    Unavailable,
)
from cluster.contracts.generation import (
    ChatPrompt,
    FinishEvent,
    GenerationEvent,
    GenerationRequest,
    ModelRef,
    TextEvent,
    TextPrompt,
    TokenPrompt,
)
from cluster.contracts.weights import WeightsRef
from cluster.serving.weights.packed_linear import has_bf16
from cluster.storage.local import LocalStore
from tests.cluster.serving.conftest import ADAPTERS, Serve, Tuned
from tests.cluster.serving.harness import Answer, Served
from tests.cluster.serving.published import publish_folder, publish_lora
from tests.cluster.serving.scripted import START, make_scripted_base
from tests.cluster.serving.stores import GatedStore
from tests.tiny_base import make_tiny_base

pytestmark = pytest.mark.slow

MODELS = ["base", *ADAPTERS, "full"]
END = 1
"""The tiny tokenizer's end of text."""
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
ENDLESS = {"logit_bias": {END: -100.0}}


def _tokens(tuned: Tuned, text: str) -> list[int]:
    return list(tuned.tokenizer.encode(text))


def _logits(tuned: Tuned, name: str, tokens: list[int]) -> torch.Tensor:
    """Logits [T, V] of one plain forward pass."""
    with torch.no_grad():
        return tuned.reference(name)(input_ids=torch.tensor([tokens])).logits[0].float()


def _answers(outcomes: list[Answer | TuneryError]) -> list[Answer]:
    return [outcome for outcome in outcomes if isinstance(outcome, Answer)]


@pytest.mark.parametrize("name", MODELS)
def test_greedy_tokens_are_those_of_the_models_own_library(served: Served, tuned: Tuned, name: str) -> None:
    answer = served.ask(served.request(tuned.refs[name], max_tokens=40, logprobs=0))
    prompt = torch.tensor([_tokens(tuned, "The quick brown")])
    expected = tuned.reference(name).generate(
        input_ids=prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=40, do_sample=False
    )
    made = expected[0, prompt.shape[1] :].tolist()
    assert answer.token_ids == [token for token in made if token != END]


def test_tuned_models_say_something_else_than_the_base(served: Served, tuned: Tuned) -> None:
    said = {served.ask(served.request(ref, max_tokens=30)).text for ref in tuned.refs.values()}
    assert len(said) == len(MODELS)


def test_a_mixed_batch_answers_as_each_request_alone(served: Served, tuned: Tuned) -> None:
    prompts = ["a", "The weather in Paris", "Sort this message: the invoice was charged twice", "x y z"]
    requests = [
        served.request(ref, prompt=prompt, max_tokens=15 + 3 * place, logprobs=0, **ENDLESS)
        for place, ref in enumerate(tuned.refs.values())
        for prompt in prompts
    ]
    alone = [served.ask(request) for request in requests]
    again = [request.model_copy(update={"id": f"{request.id}-again"}) for request in requests]
    together = _answers(served.ask_together(again))
    assert [answer.text for answer in together] == [answer.text for answer in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)


def test_eight_adapters_of_eight_shapes_answer_in_one_batch_as_each_alone(
    serve: Serve, tuned: Tuned, tmp_path: Path
) -> None:
    shapes: list[dict[str, Any]] = [
        {"r": 1, "lora_alpha": 2, "target_modules": ["q_proj"]},
        {"r": 2, "lora_alpha": 1, "target_modules": ["k_proj", "v_proj"]},
        {"r": 3, "lora_alpha": 6, "target_modules": ["up_proj"], "use_rslora": True},
        {"r": 16, "lora_alpha": 4, "target_modules": ["o_proj", "down_proj"]},
        {"r": 5, "target_modules": ["k_proj", "up_proj"], "layers_to_transform": [1]},
        {"r": 4, "target_modules": ["q_proj", "gate_proj"], "rank_pattern": {"q_proj": 7}},
        {"r": 6, "target_modules": ["v_proj", "o_proj"], "alpha_pattern": {"v_proj": 1}},
        {"r": 8, "target_modules": "all-linear", "use_rslora": True, "rank_pattern": {"down_proj": 2}},
    ]
    served = serve(slots=8)
    refs = [
        publish_lora(tuned.store, tuned.base, tmp_path / f"shape-{place}", seed=20 + place, **shape)
        for place, shape in enumerate(shapes)
    ]
    prompts = ["a", "The weather in Paris", "Sort this message: the invoice was charged twice", "x y z"]

    def requests() -> list[GenerationRequest]:
        return [
            served.request(ref, prompts[place % 4], max_tokens=24, logprobs=0, **ENDLESS)
            for place, ref in enumerate(refs)
        ]

    alone = [served.ask(request) for request in requests()]
    together = _answers(served.loop.run(_admitted_at_once(served, requests())))
    assert [answer.text for answer in together] == [answer.text for answer in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
    # The shapes matter: the same prompt gets eight different first scores.
    firsts = {
        served.ask(served.request(ref, max_tokens=1, logprobs=0, **ENDLESS)).logprobs[0] for ref in refs
    }
    assert len(firsts) == 8


def test_a_seed_fixes_the_text_whoever_else_is_in_the_batch(served: Served, tuned: Tuned) -> None:
    def drawn() -> GenerationRequest:
        return served.request(temperature=1.0, seed=7, top_p=0.95, max_tokens=25, **ENDLESS)

    alone = served.ask(drawn()).text
    company = [
        served.request(ref, temperature=1.3, seed=place, max_tokens=30, **ENDLESS)
        for place, ref in enumerate(tuned.refs.values())
    ]
    amid = _answers(served.ask_together([*company[:3], drawn(), *company[3:]]))[3].text
    assert amid == alone


def test_a_seed_gives_each_choice_a_stream_of_its_own(served: Served) -> None:
    several = served.ask(served.request(temperature=1.0, seed=3, n=4, max_tokens=20, **ENDLESS))
    assert len(set(several.texts.values())) == 4
    fewer = served.ask(served.request(temperature=1.0, seed=3, n=2, max_tokens=20, **ENDLESS))
    assert [fewer.texts[0], fewer.texts[1]] == [several.texts[0], several.texts[1]]


def test_more_choices_than_slots_are_all_made(serve: Serve) -> None:
    served = serve(slots=3)
    answer = served.ask(served.request(temperature=1.0, seed=3, n=8, max_tokens=9, **ENDLESS))
    assert sorted(answer.finishes) == list(range(8))
    assert {finish.completion_tokens for finish in answer.finishes.values()} == {9}


def test_text_ends_before_a_stop_string_that_spans_tokens(served: Served) -> None:
    whole = served.ask(served.request(max_tokens=30, logprobs=0, **ENDLESS))
    tokens = whole.tokens[0]
    # The last character of one token and the first of the next: no single token holds the stop string.
    pairs = itertools.pairwise(tokens[5:])
    stop = next(both for one, next_ in pairs if (both := one.token[-1:] + next_.token[:1]) in whole.text)
    assert len(stop) == 2
    answer = served.ask(served.request(max_tokens=30, logprobs=0, stop=[stop, "never"], **ENDLESS))
    assert answer.text == whole.text[: whole.text.index(stop)]
    assert answer.finishes[0].reason == "stop"
    assert answer.token_ids == whole.token_ids[: len(answer.token_ids)]


def test_texts_joined_are_the_bytes_of_the_tokens(served: Served) -> None:
    """Random tokens of a byte-level vocabulary: partial characters, many of them never completed."""
    answer = served.ask(served.request(temperature=2.0, seed=1, n=3, max_tokens=60, logprobs=0))
    for index, tokens in answer.tokens.items():
        raw = b"".join(bytes(token.bytes) for token in tokens if not token.token.startswith("<|"))
        assert answer.texts[index] == raw.decode(errors="replace")


def test_a_character_split_over_tokens_is_sent_whole(serve: Serve, tmp_path: Path) -> None:
    base = make_scripted_base(tmp_path / "scripted", "né→𝄞!")
    assert _texts(serve(base=base)) == ["n", "é", "→", "𝄞", "!"]


def test_what_may_become_a_stop_string_is_held_back(serve: Serve, tmp_path: Path) -> None:
    served = serve(base=make_scripted_base(tmp_path / "scripted", "zyxabKLM"))
    assert _texts(served, stop=["abKLN"]) == ["z", "y", "x", "abKLM"]
    assert _texts(served, stop=["abKL", "KLMN"]) == ["z", "y", "x"]
    assert _texts(served, stop=["bK", "xabKLM"]) == ["z", "y", "xa"]


def test_every_token_is_told_even_while_its_text_is_held_back(serve: Serve, tmp_path: Path) -> None:
    served = serve(base=make_scripted_base(tmp_path / "scripted", "zyxabKLM"), slots=1)
    said = [event for event in _events(served, stop=["abKLN"]) if isinstance(event, TextEvent)]
    assert [event.text for event in said] == ["z", "y", "x", *[""] * (len(said) - 4), "abKLM"]
    assert [event.completion_tokens for event in said] == list(range(1, len(said) + 1))
    assert len(said) > 5, "text was held back"


def test_half_a_character_at_the_end_is_replaced(serve: Serve, tmp_path: Path) -> None:
    served = serve(base=make_scripted_base(tmp_path / "scripted", "né"))
    assert _texts(served, max_tokens=2) == ["n", "\ufffd"]


@pytest.mark.parametrize("name", ["base", "rank_pattern", "full"])
def test_logprobs_are_the_log_softmax_of_a_plain_forward(served: Served, tuned: Tuned, name: str) -> None:
    request = served.request(tuned.refs[name], temperature=1.0, seed=5, logprobs=5, **ENDLESS)
    answer = served.ask(request)
    prompt = _tokens(tuned, "The quick brown")
    logprobs = _logits(tuned, name, prompt + answer.token_ids).log_softmax(-1)[len(prompt) - 1 : -1]
    for row, token in zip(logprobs, answer.tokens[0], strict=True):
        assert token.logprob == pytest.approx(row[token.token_id].item(), abs=1e-4)
        values, places = row.topk(5)
        assert [top.token_id for top in token.top] == places.tolist()
        assert [top.logprob for top in token.top] == pytest.approx(values.tolist(), abs=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_an_echoed_prompt_is_scored_as_the_trainer_scores_it(served: Served, tuned: Tuned, name: str) -> None:
    row = _tokens(tuned, "Sort this message: the invoice was charged twice, please refund me.")
    answer = served.ask(
        served.request(tuned.refs[name], TokenPrompt(token_ids=row), max_tokens=0, echo=True, logprobs=0)
    )
    assert answer.prompt is not None
    scores = [token.logprob for token in answer.prompt.tokens]
    expected = _logits(tuned, name, row).log_softmax(-1)[:-1].gather(-1, torch.tensor(row)[1:, None])[:, 0]
    assert scores[0] is None
    assert scores[1:] == pytest.approx(expected.tolist(), abs=1e-4)
    assert [token.token_id for token in answer.prompt.tokens] == row
    assert answer.finishes[0].completion_tokens == 0


def test_a_prompt_of_one_token_has_no_score(served: Served) -> None:
    answer = served.ask(
        served.request(prompt=TokenPrompt(token_ids=[60]), max_tokens=1, echo=True, logprobs=2, **ENDLESS)
    )
    assert answer.prompt is not None
    assert [token.logprob for token in answer.prompt.tokens] == [None]
    assert len(answer.tokens[0]) == 1


def test_a_base_in_half_precision_is_served_as_its_library_runs_it(
    serve: Serve, tuned: Tuned, tmp_path: Path
) -> None:
    """In float32 where an engine finds no bfloat16 instructions in this CPU."""
    base = make_tiny_base(tmp_path / "half", dtype="bfloat16")
    ref = publish_lora(tuned.store, base, tmp_path / "half_lora", seed=2, r=4, target_modules="all-linear")
    row = _tokens(tuned, "Sort this message: the invoice was charged twice, please refund me.")
    served = serve(base=base)
    answer = served.ask(served.request(ref, TokenPrompt(token_ids=row), max_tokens=0, echo=True, logprobs=0))
    assert answer.prompt is not None
    scores = [token.logprob for token in answer.prompt.tokens[1:]]

    def expected(dtype: torch.dtype, *, rounds_adapter: bool = False) -> list[float]:
        model = AutoModelForCausalLM.from_pretrained(base_folder(base), dtype=dtype)
        model = PeftModel.from_pretrained(model, tmp_path / "half_lora").eval()
        for name, parameter in model.named_parameters():
            if rounds_adapter and "lora_" in name:
                parameter.data = parameter.data.to(dtype).to(parameter.dtype)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row])).logits[0].float()
        logprobs: list[float] = (
            logits.log_softmax(-1)[:-1].gather(-1, torch.tensor(row)[1:, None])[:, 0].tolist()
        )
        return logprobs

    if not has_bf16() and scores == pytest.approx(expected(torch.float32), abs=1e-4):
        return
    # vLLM rounds adapters to the base's type. Half a unit in bfloat16's last place is 0.03 for logits of this
    # size.
    assert any(
        scores == pytest.approx(expected(torch.bfloat16, rounds_adapter=rounds), abs=0.03)
        for rounds in (False, True)
    )


def test_a_prompt_longer_than_one_prefill_is_scored_and_continued_alike(serve: Serve, tuned: Tuned) -> None:
    text = "Thank you very much. " * 6
    small, large = serve(prefill_tokens=7), serve()

    def ask(served: Served) -> Answer:
        return served.ask(served.request(tuned.refs["all_linear"], text, echo=True, logprobs=2, n=2))

    one, other = ask(small), ask(large)
    assert one.prompt is not None
    assert other.prompt is not None
    assert one.texts == other.texts
    assert one.prompt.text == text
    scores = [token.logprob for token in one.prompt.tokens]
    assert scores == pytest.approx([token.logprob for token in other.prompt.tokens], abs=1e-5)


def test_prompts_that_are_read_in_turns_are_answered_as_each_alone(serve: Serve, tuned: Tuned) -> None:
    small, large = serve(prefill_tokens=16), serve()
    lengths = [150, 4, 60, 100, 9, 31, 17]
    requests = [
        small.request(
            ref,
            TokenPrompt(token_ids=[45 + (7 * place + length) % 200 for place in range(length)]),
            **ENDLESS,
        )
        for length, ref in zip(lengths, tuned.refs.values(), strict=False)
    ]
    alone = [large.ask(request).text for request in requests]
    assert [answer.text for answer in _answers(small.ask_together(requests))] == alone


def test_biases_and_penalties_change_what_is_drawn(serve: Serve, tmp_path: Path) -> None:
    """On a base whose logits after `a` are all equal: 100 and 97 decide, less 2 once and 2 each time."""
    served = serve(base=make_scripted_base(tmp_path / "scripted", "xyz"))
    a, b = 70, 71
    answer = served.ask(
        served.request(
            prompt=START,
            max_tokens=5,
            logprobs=0,
            logit_bias={a: 100.0, b: 97.0},
            presence_penalty=2.0,
            frequency_penalty=2.0,
        )
    )
    assert answer.token_ids == [a, b, a, a, b]


@pytest.mark.parametrize("narrow", [{"top_k": 1}, {"min_p": 1.0}])
def test_a_draw_among_the_most_likely_token_alone_is_greedy(served: Served, narrow: Any) -> None:
    greedy = served.ask(served.request(max_tokens=25, **ENDLESS)).text
    drawn = served.ask(served.request(temperature=1.0, n=2, max_tokens=25, **narrow, **ENDLESS))
    assert list(drawn.texts.values()) == [greedy, greedy]


def test_a_seed_fixes_the_text_under_every_setting(served: Served) -> None:
    settings: Any = {
        "temperature": 1.2,
        "top_k": 40,
        "min_p": 0.01,
        "top_p": 0.9,
        "repetition_penalty": 1.2,
        "min_tokens": 10,
        "max_tokens": 20,
        "n": 3,
    }
    first, again = (served.ask(served.request(seed=11, **settings)).texts for _ in "12")
    assert first == again
    assert len(set(first.values())) == 3


@pytest.mark.parametrize("penalty", [1.4, 0.6])
def test_a_repetition_penalty_counts_the_prompt_as_transformers_does(
    served: Served, tuned: Tuned, penalty: float
) -> None:
    ref = tuned.refs["all_linear"]
    answer = served.ask(served.request(ref, repetition_penalty=penalty, max_tokens=30, logprobs=0))
    prompt = torch.tensor([_tokens(tuned, "The quick brown")])
    expected = tuned.reference("all_linear").generate(
        input_ids=prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=30,
        do_sample=False,
        repetition_penalty=penalty,
    )
    made = expected[0, prompt.shape[1] :].tolist()
    assert answer.token_ids == [token for token in made if token != END]
    assert made != served.ask(served.request(ref, max_tokens=30, logprobs=0)).token_ids


def test_logprobs_are_the_models_own_whatever_is_penalized_or_left_out(served: Served, tuned: Tuned) -> None:
    settings: Any = {"repetition_penalty": 1.5, "min_p": 0.02, "top_k": 20, "min_tokens": 12}
    answer = served.ask(served.request(temperature=1.0, seed=5, logprobs=3, **settings))
    prompt = _tokens(tuned, "The quick brown")
    logprobs = _logits(tuned, "base", prompt + answer.token_ids).log_softmax(-1)[len(prompt) - 1 : -1]
    for row, token in zip(logprobs, answer.tokens[0], strict=True):
        assert token.logprob == pytest.approx(row[token.token_id].item(), abs=1e-4)
        assert [top.token_id for top in token.top] == row.topk(3).indices.tolist()


def test_no_end_token_comes_before_min_tokens(served: Served) -> None:
    answer = served.ask(served.request(logit_bias={END: 50.0}, min_tokens=5, max_tokens=9, n=2))
    assert [finish.completion_tokens for finish in answer.finishes.values()] == [6, 6]
    assert [finish.reason for finish in answer.finishes.values()] == ["stop", "stop"]


def test_stop_strings_and_stop_tokens_count_only_after_min_tokens(serve: Serve, tmp_path: Path) -> None:
    served = serve(base=make_scripted_base(tmp_path / "scripted", "abcdefgh"))
    assert _texts(served, stop=["b", "d"]) == ["a"]
    assert _texts(served, stop=["b", "d"], min_tokens=2) == ["a", "b", "c"]
    # A stop string may begin among the first tokens, if it ends after them.
    assert "".join(_texts(served, stop=["cde"], min_tokens=3)) == "ab"
    d = 73
    assert _texts(served, stop_token_ids=[d]) == ["a", "b", "c"]
    made = served.ask(served.request(prompt=START, stop_token_ids=[d], min_tokens=4, logprobs=0))
    assert made.token_ids[:3] == [70, 71, 72]
    assert d not in made.token_ids[:4]


def test_a_stop_token_ends_the_text_before_it(served: Served) -> None:
    whole = served.ask(served.request(max_tokens=20, logprobs=0, **ENDLESS))
    token = whole.token_ids[7]
    answer = served.ask(
        served.request(max_tokens=20, logprobs=0, stop_token_ids=[token, 351], n=2, **ENDLESS)
    )
    place = whole.token_ids.index(token)
    assert answer.token_ids == whole.token_ids[:place]
    finish = answer.finishes[1]
    assert (finish.index, finish.reason, finish.completion_tokens) == (1, "stop", place + 1)
    assert finish.end_token is not None, "every token has a log-probability, the last one too"
    assert finish.end_token.token_id == token
    assert finish.end_token.logprob == pytest.approx(whole.logprobs[place], abs=1e-5)


def test_ignored_end_tokens_show_nothing_and_do_not_end_the_text(served: Served) -> None:
    answer = served.ask(served.request(logit_bias={END: 100.0}, max_tokens=9, ignore_eos=True))
    assert answer.text == ""
    assert answer.finishes[0] == FinishEvent(index=0, reason="length", completion_tokens=9)
    stopped = served.ask(
        served.request(logit_bias={END: 100.0}, max_tokens=9, ignore_eos=True, stop_token_ids=[END])
    )
    assert stopped.finishes[0] == FinishEvent(index=0, reason="stop", completion_tokens=1)


def test_a_text_with_a_grammar_ends_where_the_grammar_does(served: Served) -> None:
    answer = served.ask(
        served.request(
            json_schema={"enum": ["red", "green"]}, min_tokens=40, ignore_eos=True, max_tokens=60, logprobs=0
        )
    )
    assert answer.text in ('"red"', '"green"')
    assert answer.finishes[0].reason == "stop"


def test_the_end_of_text_stops_and_shows_nothing(served: Served) -> None:
    answer = served.ask(served.request(logit_bias={END: 100.0}, max_tokens=9))
    assert answer.text == ""
    assert answer.finishes[0] == FinishEvent(index=0, reason="stop", completion_tokens=1)


@pytest.mark.parametrize("tools", [None, TOOLS])
def test_a_conversation_is_rendered_as_in_training(served: Served, tuned: Tuned, tools: Any) -> None:
    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "What is new?"}]
    prompt = ChatPrompt(messages=messages, tools=tools)
    answer = served.ask(served.request(prompt=prompt, echo=True, logprobs=0, max_tokens=0))
    assert answer.prompt is not None
    render = functools.partial(tuned.tokenizer.apply_chat_template, messages, add_generation_prompt=True)
    rendered = render(tools=tools)["input_ids"]
    assert [token.token_id for token in answer.prompt.tokens] == rendered
    assert (rendered == render()["input_ids"]) == (tools is None)


def test_the_final_message_is_continued_as_transformers_renders_it(served: Served, tuned: Tuned) -> None:
    messages = [
        {"role": "user", "content": "What is new?"},
        {"role": "assistant", "content": "The <|end|> is not the end"},
    ]
    prompt = ChatPrompt(messages=messages, ending="final_message")
    answer = served.ask(served.request(prompt=prompt, echo=True, logprobs=0, max_tokens=0))
    plain = [messages[0], {**messages[1], "content": "The  is not the end"}]
    rendered = tuned.tokenizer.apply_chat_template(plain, continue_final_message=True)["input_ids"]
    assert answer.prompt is not None
    token_ids = [token.token_id for token in answer.prompt.tokens]
    # Control tokens that a user wrote are text.
    assert END not in token_ids[rendered.index(END) + 1 :]
    assert answer.prompt.text == "What is new?The <|end|> is not the end"
    assert token_ids[:3] == rendered[:3]
    calm = [messages[0], {"role": "assistant", "content": "It is sunny and"}]
    open_ = ChatPrompt(messages=calm, ending="final_message")
    closed = ChatPrompt(messages=calm, ending="nothing")
    for given, options in ((open_, {"continue_final_message": True}), (closed, {})):
        answer = served.ask(served.request(prompt=given, echo=True, logprobs=0, max_tokens=0))
        assert answer.prompt is not None
        rendered = tuned.tokenizer.apply_chat_template(calm, **options)["input_ids"]
        assert [token.token_id for token in answer.prompt.tokens] == rendered


def test_an_option_that_the_template_does_not_read_is_refused(served: Served) -> None:
    messages = [{"role": "user", "content": "hi"}]
    for name in ("enable_thinking", "messages", "eos_token", "tools"):
        prompt = ChatPrompt(messages=messages, template_options={name: True})
        with pytest.raises(InvalidRequest, match="no option") as caught:
            served.ask(served.request(prompt=prompt))
        assert caught.value.param == f"chat_template_kwargs.{name}"


@pytest.mark.parametrize("splits", [False, True])
def test_special_tokens_in_a_plain_prompt_are_control_tokens_unless_they_are_split(
    served: Served, tuned: Tuned, splits: bool
) -> None:
    text = "hi<|end|><|user|>"
    prompt = TextPrompt(text=text, split_special_tokens=splits)
    answer = served.ask(served.request(prompt=prompt, echo=True, logprobs=0, max_tokens=0))
    assert answer.prompt is not None
    token_ids = [token.token_id for token in answer.prompt.tokens]
    assert token_ids == tuned.tokenizer(text, split_special_tokens=splits)["input_ids"]
    assert (END in token_ids) is not splits
    assert tuned.tokenizer.decode(token_ids) == text


def test_without_a_limit_the_context_is_filled(served: Served) -> None:
    answer = served.ask(served.request(max_tokens=None, **ENDLESS))
    assert answer.prompt is not None
    finish = answer.finishes[0]
    assert finish.reason == "length"
    assert answer.prompt.prompt_tokens + finish.completion_tokens == served.base.context_length


@pytest.mark.parametrize("max_tokens", [254, None])
def test_too_long_names_the_numbers(served: Served, max_tokens: int | None) -> None:
    prompt = TokenPrompt(token_ids=[50] * (3 if max_tokens else 256))
    with pytest.raises(
        ContextLengthExceeded,
        match=r"^This model's maximum context length is 256 tokens, however you requested 257 tokens "
        r"\((3 in your prompt; 254|256 in your prompt; 1) for the completion\)\. Please reduce your prompt; "
        r"or completion length\.$",
    ):
        served.ask(served.request(prompt=prompt, max_tokens=max_tokens))


def test_a_conversation_that_leaves_no_room_is_blamed_on_its_messages(served: Served) -> None:
    messages = [{"role": "user", "content": "a b " * 60}]
    for max_tokens in (250, None):
        prompt = ChatPrompt(messages=messages if max_tokens else messages * 4)
        with pytest.raises(ContextLengthExceeded, match=r"256 tokens\. However, you requested") as caught:
            served.ask(served.request(prompt=prompt, max_tokens=max_tokens))
        assert caught.value.param == "messages"


@pytest.mark.parametrize("text", ["a b " * 2_000, "a" * 100_000])
def test_a_text_that_is_far_too_long_is_refused_before_all_of_it_is_read(served: Served, text: str) -> None:
    chat = ChatPrompt(messages=[{"role": "user", "content": text}])
    for prompt, param in ((text, "prompt"), (chat, "messages")):
        with pytest.raises(ContextLengthExceeded, match="context length is 256 tokens") as caught:
            served.ask(served.request(prompt=prompt))
        assert caught.value.param == param


def test_tokens_outside_the_vocabulary_are_refused(served: Served) -> None:
    with pytest.raises(InvalidRequest, match="0 to 351"):
        served.ask(served.request(prompt=TokenPrompt(token_ids=[5, 352])))
    with pytest.raises(InvalidRequest, match="0 to 351"):
        served.ask(served.request(logit_bias={-1: 1.0}))
    with pytest.raises(InvalidRequest, match=r"stop_token_ids names token 352; .* 0 to 351"):
        served.ask(served.request(stop_token_ids=[5, 352]))


@pytest.mark.parametrize(("max_tokens", "room"), [(12, 12), (0, 0), (None, 252)])
def test_more_min_tokens_than_the_answer_may_have_are_refused(
    served: Served, max_tokens: int | None, room: int
) -> None:
    prompt = TokenPrompt(token_ids=[50] * 4)
    with pytest.raises(InvalidRequest, match=f"'min_tokens' is {room + 1}.*at most {room} tokens") as caught:
        served.ask(served.request(prompt=prompt, max_tokens=max_tokens, min_tokens=room + 1))
    assert caught.value.param == "min_tokens"


def test_an_id_under_way_is_refused(served: Served) -> None:
    request = served.request(max_tokens=60, **ENDLESS)
    outcomes = served.ask_together([request, request])
    assert [type(outcome) for outcome in outcomes] == [Answer, InvalidRequest]


def test_answers_beside_a_flood_and_those_of_the_flood_are_what_they_are_alone(
    serve: Serve, tuned: Tuned
) -> None:
    served = serve(slots=8)
    adapters = [tuned.refs[name] for name in ("base", *ADAPTERS)]
    flood = [
        served.request(ref, max_tokens=24, **ENDLESS).model_copy(update={"tenant": "flood"})
        for ref in [*adapters, *adapters]
    ]
    quiet = [served.request(ref, max_tokens=12) for ref in adapters[:3]]
    alone = [served.ask(one).text for one in [*flood, *quiet]]

    async def both() -> list[str]:
        flooding = [asyncio.create_task(served.answer(one)) for one in flood]
        calm = [(await served.answer(one)).text for one in quiet]
        return [(await one).text for one in flooding] + calm

    assert served.loop.run(both()) == alone


def test_the_slots_of_a_closed_stream_are_free_within_two_steps(serve: Serve) -> None:
    served = serve(slots=4)

    async def closed() -> int:
        events = served.engine.generate(served.request(max_tokens=240, n=4, **ENDLESS))
        for _ in range(6):
            await anext(events)
        await events.aclose()
        at_close = (await _stats(served)).generated_tokens
        # The engine gets to this request after it has cancelled the first one.
        await served.answer(served.request(max_tokens=0))
        after = await _stats(served)
        assert after.running == 0
        return after.generated_tokens - at_close

    assert served.loop.run(closed()) <= 2 * 4


def test_a_closed_stream_is_cancelled(serve: Serve) -> None:
    served = serve(slots=2)

    async def left() -> int:
        events = served.engine.generate(served.request(max_tokens=240, n=2, **ENDLESS))
        async for event in events:
            if event.type == "text":
                break
        await events.aclose()
        # The next request needs both slots and is answered while the first had 470 tokens to go.
        await served.answer(served.request(max_tokens=2, n=2, **ENDLESS))
        return (await _stats(served)).generated_tokens

    assert served.loop.run(left()) < 240


def test_a_full_queue_refuses_and_recovers(serve: Serve) -> None:
    served = serve(slots=1, max_waiting=3)
    many = [served.request(max_tokens=60, **ENDLESS) for _ in range(12)]
    outcomes = served.ask_together(many)
    refused = [outcome for outcome in outcomes if isinstance(outcome, Overloaded)]
    assert 0 < len(refused) < 12
    assert len(_answers(outcomes)) == 12 - len(refused)
    assert served.ask(served.request()).finishes


def test_a_tenants_flood_does_not_keep_another_waiting(serve: Serve) -> None:
    served = serve(slots=2)

    async def second_place() -> int:
        flood = [served.request(max_tokens=60, **ENDLESS) for _ in range(12)]
        running = [asyncio.create_task(served.answer(request)) for request in flood]
        other = served.request(max_tokens=20, **ENDLESS).model_copy(update={"tenant": "b"})
        await asyncio.sleep(0)
        await served.answer(other)
        done = sum(task.done() for task in running)
        await asyncio.gather(*running)
        return done

    assert served.loop.run(second_place()) <= 6


def test_weights_that_overflow_fail_alone_and_leave_neighbours_bit_equal(
    serve: Serve, tuned: Tuned, tmp_path: Path
) -> None:
    """Finite weights, which can be loaded, with non-finite products."""
    options = {"seed": 3, "r": 4, "target_modules": "all-linear"}
    wild = publish_lora(tuned.store, tuned.base, tmp_path / "wild", scale=1e30, **options)
    tame = publish_lora(tuned.store, tuned.base, tmp_path / "tame", **options)

    def neighbours(third: WeightsRef, max_tokens: int) -> list[Answer | TuneryError]:
        served = serve(slots=4)
        refs = [None, tuned.refs["rslora"], third, tuned.refs["all_linear"]]
        requests = [
            served.request(ref, max_tokens=max_tokens if ref is third else 40, logprobs=3, **ENDLESS)
            for ref in refs
        ]
        return served.loop.run(_admitted_at_once(served, requests))

    # The tame one also ends after its first token, so that the batches have equal shapes.
    spoiled, sound = neighbours(wild, 40), neighbours(tame, 1)
    assert isinstance(spoiled[2], CorruptArtefact)
    assert [spoiled[0], spoiled[1], spoiled[3]] == [sound[0], sound[1], sound[3]]


@pytest.mark.parametrize("max_tokens", [0, 3])
def test_a_prompt_is_not_scored_with_numbers_that_are_not_finite(
    served: Served, tuned: Tuned, tmp_path: Path, max_tokens: int
) -> None:
    wild = publish_lora(
        tuned.store,
        tuned.base,
        tmp_path / f"wild-{max_tokens}",
        scale=1e30,
        seed=3,
        target_modules="all-linear",
    )
    with pytest.raises(CorruptArtefact, match="not finite"):
        served.ask(served.request(wild, echo=True, logprobs=0, max_tokens=max_tokens))
    assert served.ask(served.request(echo=True, logprobs=0, max_tokens=max_tokens)).finishes


HELD_TOKENS = 100


async def _admitted_at_once(served: Served, requests: list[GenerationRequest]) -> list[Answer | TuneryError]:
    """Lets the requests queue behind one that holds every slot for so many tokens, so that they are always
    batched alike."""
    for request in requests:
        await served.engine.ensure(request.model)
    answers = []
    slots = (await _stats(served)).slots
    async for event in served.engine.generate(served.request(n=slots, max_tokens=HELD_TOKENS, **ENDLESS)):
        if event.type == "prompt":
            answers = [asyncio.create_task(served.answer(request)) for request in requests]
            while (await _stats(served)).waiting < len(requests):
                assert (await _stats(served)).generated_tokens < slots * HELD_TOKENS
                await asyncio.sleep(0)
    return await asyncio.gather(*answers, return_exceptions=True)  # type: ignore[return-value]


def test_a_slot_is_clean_after_weights_that_overflow(serve: Serve, tuned: Tuned, tmp_path: Path) -> None:
    """The scripted base embeds each token as an axis, so an adapter can explode at one token in mid-stream,
    when its values are in the slot already."""
    base = make_scripted_base(tmp_path / "scripted", "abcdefgh")
    (explosive,) = _tokens(tuned, "d")

    def explode(model: Any) -> None:
        for name, parameter in model.named_parameters():
            if "lora_A" in name:
                parameter.data.zero_()
                parameter.data[:, explosive] = 1e30

    wild = publish_lora(
        tuned.store, base, tmp_path / "wild", scale=1e30, seed=3, change=explode, target_modules=["v_proj"]
    )
    served = serve(base=base, slots=2)
    before = served.ask(served.request(prompt=START, logprobs=1))
    assert before.text == "abcdefgh"
    neighbour = served.request(prompt=START, max_tokens=200, **ENDLESS)
    alone = served.ask(neighbour)

    said: list[str] = []

    async def listen() -> None:
        async for event in served.engine.generate(served.request(wild, START)):
            said.extend([event.text] if isinstance(event, TextEvent) else [])

    async def beside_a_longer_one() -> tuple[Answer, Answer]:
        """The neighbour keeps the memory, and is longer than who comes into the wild one's slot, which so
        reads beyond its own tokens."""
        long = Answer()
        after = None
        async for event in served.engine.generate(neighbour):
            long.add(event)
            if after is None and isinstance(event, TextEvent) and event.completion_tokens > 20:
                with pytest.raises(CorruptArtefact, match="not finite"):
                    await listen()
                after = await served.answer(served.request(prompt=START, logprobs=1))
                assert (await _stats(served)).running == 1, "the neighbour is still there"
        assert after is not None
        return after, long

    after, long = served.loop.run(beside_a_longer_one())
    assert said == ["a", "b", "c", "d"]
    assert after == before
    assert long == alone


def test_an_adapter_in_use_is_not_evicted_by_a_burst(serve: Serve, tuned: Tuned) -> None:
    served = serve(adapters=1)
    a, b = tuned.refs["all_linear"], tuned.refs["rslora"]
    alone = served.ask(served.request(a, max_tokens=100, **ENDLESS)).text

    async def burst() -> tuple[str, list[Answer]]:
        long = asyncio.create_task(served.answer(served.request(a, max_tokens=100, **ENDLESS)))
        await asyncio.sleep(0)
        others = await asyncio.gather(*(served.answer(served.request(b)) for _ in range(5)))
        return (await long).text, others

    text, others = served.loop.run(burst())
    assert text == alone
    assert len({other.text for other in others}) == 1
    assert served.loop.run(_stats(served)).adapters == [b.digest if b else ""]


def test_a_cold_adapter_stalls_nobody_and_is_loaded_once(serve: Serve, tuned: Tuned) -> None:
    store = GatedStore(tuned.folder / "store")
    served = serve(store=store)

    async def meanwhile() -> list[Answer]:
        cold = [
            asyncio.create_task(served.answer(served.request(tuned.refs["wide_rank"]))) for _ in range(12)
        ]
        warm = await served.answer(served.request(max_tokens=50, **ENDLESS))
        assert warm.finishes
        assert not any(task.done() for task in cold)
        store.gate.set()
        return list(await asyncio.gather(*cold))

    answers = served.loop.run(meanwhile())
    assert len({answer.text for answer in answers}) == 1
    assert len(store.downloads) == len(set(store.downloads))


def test_a_cold_adapter_that_comes_in_mid_stream_neither_stalls_nor_changes_it(
    serve: Serve, tuned: Tuned
) -> None:
    cold, warm = tuned.refs["wide_rank"], tuned.refs["rslora"]
    assert cold is not None
    store = GatedStore(tuned.folder / "store", slow=cold.manifest_key.rpartition("/")[0])
    served = serve(store=store, adapters=2)
    long = served.request(warm, max_tokens=100, **ENDLESS)
    alone = served.ask(long).text

    async def joined() -> tuple[str, bool, Answer]:
        text, waiting = "", None
        async for event in served.engine.generate(long):
            if isinstance(event, TextEvent):
                text += event.text
                waiting = waiting or asyncio.create_task(served.answer(served.request(cold)))
        assert waiting is not None
        is_waiting = not waiting.done()
        store.gate.set()
        return text, is_waiting, await waiting

    text, is_waiting, answer = served.loop.run(joined())
    assert text == alone
    assert is_waiting
    assert answer.finishes


def test_wrong_digest_base_or_type_is_refused(served: Served, tuned: Tuned, tmp_path: Path) -> None:
    good = tuned.refs["all_linear"]
    assert good is not None
    other = make_tiny_base(tmp_path / "other", seed=5)
    stranger = publish_lora(tuned.store, other, tmp_path / "stranger", seed=1, target_modules=["q_proj"])
    for ref, error, message in [
        (WeightsRef(digest="0" * 64, manifest_key=good.manifest_key), CorruptArtefact, "digest"),
        (WeightsRef(digest="0" * 64, manifest_key="jobs/no/manifest.json"), NotFound, "manifest"),
        (stranger, InvalidRequest, "trained on"),
        (good.model_copy(update={"form": "full"}), InvalidRequest, "form 'lora'"),
    ]:
        with pytest.raises(error, match=message):
            served.ask(served.request(ref))
        with pytest.raises(error, match=message):
            served.loop.run(served.engine.ensure(ModelRef(base=served.base, adapter=ref)))


def test_another_chat_template_is_refused(served: Served, tuned: Tuned) -> None:
    folder = tuned.folder / "all_linear"
    ref = publish_folder(tuned.store, tuned.base, folder, job_id="ftjob-template", template_sha256="0" * 64)
    with pytest.raises(InvalidRequest, match="template"):
        served.ask(served.request(ref))


def test_tuned_weights_in_memory_are_in_the_stats(serve: Serve, tuned: Tuned) -> None:
    served = serve()
    for name in ("rslora", "full"):
        served.loop.run(served.engine.ensure(ModelRef(base=served.base, adapter=tuned.refs[name])))
    found = served.loop.run(served.engine.stats())
    stats = found if isinstance(found, list) else [found]
    wanted = {ref.digest for ref in (tuned.refs["rslora"], tuned.refs["full"]) if ref}
    assert {digest for one in stats for digest in one.adapters} == wanted


def test_a_failed_load_is_tried_again(serve: Serve, tuned: Tuned, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    served = serve(store=store)
    ref = publish_lora(store, tuned.base, tmp_path / "late", seed=4, target_modules=["q_proj"])
    manifest = store.get(ref.manifest_key)
    store.delete(ref.manifest_key)
    with pytest.raises(NotFound):
        served.ask(served.request(ref))
    store.put(ref.manifest_key, manifest)
    assert served.ask(served.request(ref)).finishes


def test_closing_ends_what_is_under_way(serve: Serve) -> None:
    served = serve()

    async def closed() -> None:
        async for event in served.engine.generate(served.request(max_tokens=240, **ENDLESS)):
            if event.type == "text":
                await served.engine.close()

    with pytest.raises(Unavailable):
        served.loop.run(closed())
    with pytest.raises(Unavailable):
        served.ask(served.request())


def test_probabilities_follow_temperature_and_top_p(served: Served, tuned: Tuned) -> None:
    """Compares 2,000 samples of one token with the softmax of a plain forward pass."""
    draws = 2000
    counts: dict[int, int] = {}
    for start in range(0, draws, 100):
        answer = served.ask(
            served.request(temperature=0.7, top_p=0.8, seed=start, n=100, max_tokens=1, logprobs=0)
        )
        for tokens in answer.tokens.values():
            counts[tokens[0].token_id] = counts.get(tokens[0].token_id, 0) + 1
    logits = _logits(tuned, "base", _tokens(tuned, "The quick brown"))[-1]
    probabilities, order = (logits / 0.7).softmax(-1).sort(descending=True)
    kept = int((probabilities.cumsum(-1) < 0.8).sum()) + 1
    shares = probabilities[:kept] / probabilities[:kept].sum()
    nucleus = dict(zip(order[:kept].tolist(), shares.tolist(), strict=True))
    assert set(counts) <= set(nucleus)
    for token, probability in nucleus.items():
        spread = math.sqrt(probability * (1 - probability) / draws)
        assert counts.get(token, 0) / draws == pytest.approx(probability, abs=5 * spread + 1e-9)


def _texts(served: Served, **sampling: Any) -> list[str]:
    """What the scripted base says at a time."""
    return [
        event.text for event in _events(served, **sampling) if isinstance(event, TextEvent) and event.text
    ]


def _events(served: Served, **sampling: Any) -> list[GenerationEvent]:
    """Of the scripted base."""

    async def events() -> list[GenerationEvent]:
        request = served.request(prompt=START, **{"max_tokens": None, **sampling})
        return [event async for event in served.engine.generate(request)]

    return served.loop.run(events())


async def _stats(served: Served):  # type: ignore[no-untyped-def]
    found = await served.engine.stats()
    return found[0] if isinstance(found, list) else found
