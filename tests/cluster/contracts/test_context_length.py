"""OpenAI's words, from its API: clients such as LiteLLM recognize the error by them."""

from cluster.contracts.context_length import too_long_text, too_many_tokens


def test_messages_are_refused_in_the_words_of_openais_chat_completions() -> None:
    error = too_many_tokens(4097, prompt=4000, completion=1000, param="messages")
    assert str(error) == (
        "This model's maximum context length is 4097 tokens. However, you requested 5000 tokens (4000 in the "
        "messages, 1000 in the completion). Please reduce the length of the messages or completion."
    )
    assert (error.code, error.param) == ("context_length_exceeded", "messages")


def test_prompts_and_inputs_are_refused_in_the_words_of_openais_completions() -> None:
    error = too_many_tokens(8192, prompt=9000, param="input[1]")
    assert str(error) == (
        "This model's maximum context length is 8192 tokens, however you requested 9000 tokens (9000 in your "
        "prompt; 0 for the completion). Please reduce your prompt; or completion length."
    )
    assert error.param == "input[1]"


def test_texts_that_are_not_counted_to_their_end_are_refused_alike() -> None:
    assert str(too_long_text(10, "more than 20 tokens", param="messages")) == (
        "This model's maximum context length is 10 tokens. However, your messages resulted in more than 20 "
        "tokens. Please reduce the length of the messages."
    )
    assert str(too_long_text(10, "more than 20 tokens", param="prompt")) == (
        "This model's maximum context length is 10 tokens, however your prompt has more than 20 tokens. "
        "Please reduce your prompt."
    )


def test_reasons_follow_openais_words() -> None:
    error = too_many_tokens(10, prompt=11, param="prompt", full_length=20, why="A prefix takes 2.")
    assert str(error).endswith(
        " or completion length. A prefix takes 2. The model itself reads 20, but the GPUs that serve it have "
        "no memory for more."
    )
    assert "GPUs" not in str(too_many_tokens(20, prompt=21, param="prompt", full_length=20))
