"""The errors of requests that do not fit into a model's context. They are worded as OpenAI words them,
because LiteLLM's fallbacks and other clients recognize them by their text."""

from cluster.contracts.errors import ContextLengthExceeded


def too_many_tokens(
    context_length: int,
    *,
    prompt: int,
    completion: int = 0,
    param: str,
    full_length: int | None = None,
    why: str = "",
) -> ContextLengthExceeded:
    """Makes the error of a request whose tokens are counted. `full_length` is the context of the model's
    catalogue entry, and `why` is added to the message if it is given."""
    requested = f"you requested {prompt + completion} tokens"
    if param == "messages":
        text = f". However, {requested} ({prompt} in the messages, {completion} in the completion)."
        advice = "Please reduce the length of the messages or completion."
    else:
        text = f", however {requested} ({prompt} in your prompt; {completion} for the completion)."
        advice = "Please reduce your prompt; or completion length."
    return _exceeded(context_length, f"{text} {advice}", param, full_length, why)


def too_long_text(
    context_length: int, size: str, *, param: str, full_length: int | None = None
) -> ContextLengthExceeded:
    """Makes the error of a text that is not counted to its end, because it is far too long. `size` is what is
    known of its length, such as "more than 512 tokens"."""
    if param == "messages":
        text = f". However, your messages resulted in {size}. Please reduce the length of the messages."
    else:
        text = f", however your prompt has {size}. Please reduce your prompt."
    return _exceeded(context_length, text, param, full_length)


def _exceeded(
    context_length: int, text: str, param: str, full_length: int | None, why: str = ""
) -> ContextLengthExceeded:
    sentences = [f"This model's maximum context length is {context_length} tokens{text}"]
    if why:
        sentences.append(why)
    if full_length is not None and context_length < full_length:
        sentences.append(
            f"The model itself reads {full_length}, but the GPUs that serve it have no memory for more."
        )
    return ContextLengthExceeded(" ".join(sentences), param=param)
