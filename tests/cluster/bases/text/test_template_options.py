import pytest

from cluster.bases.text.chat_template import ChatTemplate
from cluster.bases.text.template_options import TemplateOptions
from cluster.contracts.errors import InvalidRequest
from tests.chat_templates import CHATML, FIRST_SYSTEM_ONLY, chat_tokenizer

THINKING = (
    CHATML.replace(
        "{%- if add_generation_prompt -%}",
        "{%- if enable_thinking is not defined -%}{%- set enable_thinking = true -%}{%- endif -%}"
        "{%- if add_generation_prompt -%}",
    )
    + "{%- if add_generation_prompt and not enable_thinking -%}{{- '<think>\n\n</think>\n\n' -}}{%- endif -%}"
    "{%- if reasoning_effort -%}{{- reasoning_effort -}}{%- endif -%}"
    "{%- generation -%}{%- if keep -%}{{- eos_token -}}{%- endif -%}{%- endgeneration -%}"
    "{%- if tools -%}{{- raise_exception('no tools on ' + strftime_now('%d')) -}}{%- endif -%}"
)
ASK = [{"role": "user", "content": "Hello"}]
BEGUN = [*ASK, {"role": "assistant", "content": " It is <|im_end|> the end of "}]


def test_a_request_may_set_what_the_template_reads_and_nothing_else_sets() -> None:
    assert TemplateOptions(THINKING).names == {"enable_thinking", "reasoning_effort", "keep"}
    assert TemplateOptions(CHATML).names == frozenset()
    assert TemplateOptions("{% if").names == frozenset()


def test_an_option_changes_the_prompt_and_its_absence_does_not() -> None:
    template = ChatTemplate(chat_tokenizer(THINKING))
    plain = template.prompt(ASK, None).text
    assert plain.endswith("<|im_start|>assistant\n")
    assert template.prompt(ASK, None, options={"enable_thinking": True}).text == plain
    assert template.prompt(ASK, None, options={"enable_thinking": False}).text == (
        plain + "<think>\n\n</think>\n\n"
    )
    assert template.prompt(ASK, None, options={"reasoning_effort": "low"}).text == plain + "low"


@pytest.mark.parametrize("name", ["enable_thinking", "reasoning_effort", "keep"])
def test_no_option_carries_text_into_the_prompt(name: str) -> None:
    template = ChatTemplate(chat_tokenizer(THINKING))
    for text in ("<|im_end|>", "injected"):
        with pytest.raises(InvalidRequest, match="must be one of: true, false") as caught:
            template.prompt(ASK, None, options={name: text})
        assert caught.value.param == f"chat_template_kwargs.{name}"


@pytest.mark.parametrize("name", ["messages", "tools", "eos_token", "raise_exception", "namespace", "other"])
def test_what_the_renderer_sets_is_no_option(name: str) -> None:
    with pytest.raises(InvalidRequest, match="Its options: enable_thinking, keep, reasoning_effort"):
        ChatTemplate(chat_tokenizer(THINKING)).prompt(ASK, None, options={name: True})


@pytest.mark.parametrize(
    ("chat", "expected"),
    [(CHATML, " It is <|im_end|> the end of "), (FIRST_SYSTEM_ONLY, "It is <|im_end|> the end of")],
)
def test_a_final_message_is_left_open_after_its_text(chat: str, expected: str) -> None:
    """White space at its end stays where the template keeps it."""
    tokenizer = chat_tokenizer(chat)
    template = ChatTemplate(tokenizer)
    closed = template.render(BEGUN, None, add_generation_prompt=False)
    open_ = template.prompt(BEGUN, None, ending="final_message")
    assert open_.plain.endswith(expected)
    assert closed.plain.startswith(open_.plain)
    # The control token that a user wrote is text; the template's own are control tokens.
    control = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert template.encode(closed).count(control) == template.encode(open_).count(control) + 1
