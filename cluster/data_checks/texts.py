"""Extracts the texts of a row, whatever its format."""

from typing import NamedTuple

from cluster.contracts.rows import (
    AssistantMessage,
    ChatRow,
    ClassificationRow,
    CompletionRow,
    Conversation,
    InstructionMessage,
    PreferenceRow,
    Row,
    TokenClassificationRow,
    UserMessage,
)


class Text(NamedTuple):
    param: str
    """Where the text is, e.g. `messages[2].content`."""
    text: str
    is_instruction: bool = False
    """Whether the text is of a system or developer message."""


class Answer(NamedTuple):
    text: Text
    prompt: str
    """The user's last message, without spaces around it; empty if the row has no user."""


class RowTexts(NamedTuple):
    all: list[Text]
    """Every text that people or models wrote, but no labels."""
    instructions: list[Text] | None = None
    """Texts of system and developer messages. None for formats that have no messages."""
    answers: list[Answer] = []
    """Learned texts. For a preference, the better answer. Answers with tool calls are left out."""
    labels: list[Text] = []
    question: str = ""
    """Everything before the last answer. Equal questions are the same prompt; empty for none."""
    answer: str = ""
    """The last answer or the label: what equal questions should agree on."""
    reasoning: str = ""
    """What comes before answers. Rows that differ only in it neither repeat nor contradict each other."""
    content: str = ""
    """All texts but instructions, which rows share. Rows with similar content resemble each other."""


def texts_of(row: Row) -> RowTexts:
    match row:
        case ChatRow():
            return _chat(row)
        case CompletionRow():
            prompt, completion = Text("prompt", row.prompt), Text("completion", row.completion)
            return RowTexts(
                all=[prompt, completion],
                answers=[Answer(completion, row.prompt.strip())],
                question=row.prompt,
                answer=row.completion,
                content=f"{row.prompt}\n{row.completion}",
            )
        case PreferenceRow():
            return _preference(row)
        case ClassificationRow():
            texts = [Text("text", row.text), *([Text("text_pair", row.text_pair)] if row.text_pair else [])]
            question = _joined(texts)
            labels = [Text("label", row.label)]
            return RowTexts(texts, labels=labels, question=question, answer=row.label, content=question)
        case TokenClassificationRow():
            text = " ".join(row.tokens)
            return RowTexts(
                all=[Text("tokens", text)],
                labels=[Text(f"labels[{place}]", label) for place, label in enumerate(row.labels)],
                question="\0".join(row.tokens),
                answer="\0".join(row.labels),
                content=text,
            )


def _chat(row: ChatRow) -> RowTexts:
    last = max(
        place
        for place, message in enumerate(row.messages)
        if isinstance(message, AssistantMessage) and message.is_learned
    )
    answer = row.messages[last]
    assert isinstance(answer, AssistantMessage)
    texts, instructions, answers = _conversation(row, "messages")
    return RowTexts(
        all=texts,
        instructions=instructions,
        answers=answers,
        question=_question(row, last),
        answer=_said(answer),
        reasoning=_reasoning([one for one in row.messages if isinstance(one, AssistantMessage)]),
        content=_joined([text for text in texts if not text.is_instruction]),
    )


def _preference(row: PreferenceRow) -> RowTexts:
    texts, instructions, _ = _conversation(row.input, "input.messages")
    content = [text for text in texts if not text.is_instruction]
    better, worse = row.preferred_output[0], row.non_preferred_output[0]
    outputs = [
        *_assistant_texts(better, "preferred_output[0]"),
        *_assistant_texts(worse, "non_preferred_output[0]"),
    ]
    answer = Answer(Text("preferred_output[0].content", better.content or ""), _last_prompt(row.input))
    preferred, other = _said(better), _said(worse)
    return RowTexts(
        all=texts + outputs,
        instructions=instructions,
        answers=[answer] if better.tool_calls is None else [],
        # Rows contradict each other if they prefer opposite answers of the same two.
        question="\0".join([_question(row.input, len(row.input.messages)), *sorted((preferred, other))]),
        answer=preferred,
        reasoning=_reasoning(
            [*(one for one in row.input.messages if isinstance(one, AssistantMessage)), better, worse]
        ),
        content=_joined(content + outputs),
    )


def _conversation(row: Conversation, place: str) -> tuple[list[Text], list[Text], list[Answer]]:
    """Returns all texts, the instructions among them, and the answers that are learned."""
    texts: list[Text] = []
    instructions: list[Text] = []
    answers: list[Answer] = []
    prompt = ""
    for number, message in enumerate(row.messages):
        param = f"{place}[{number}]"
        if isinstance(message, AssistantMessage):
            texts += _assistant_texts(message, param)
            if message.weight and message.tool_calls is None:
                answers.append(Answer(Text(f"{param}.content", message.content or ""), prompt))
            continue
        text = Text(f"{param}.content", message.content, isinstance(message, InstructionMessage))
        texts.append(text)
        if text.is_instruction:
            instructions.append(text)
        elif isinstance(message, UserMessage):
            prompt = message.content.strip()
    return texts, instructions, answers


def _assistant_texts(message: AssistantMessage, param: str) -> list[Text]:
    texts = []
    if message.reasoning_content:
        texts.append(Text(f"{param}.reasoning_content", message.reasoning_content))
    if message.content:
        texts.append(Text(f"{param}.content", message.content))
    for number, call in enumerate(message.tool_calls or ()):
        texts.append(Text(f"{param}.tool_calls[{number}].function.arguments", call.function.arguments))
    return texts


def _last_prompt(row: Conversation) -> str:
    prompts = [message.content for message in row.messages if isinstance(message, UserMessage)]
    return prompts[-1].strip() if prompts else ""


def _question(row: Conversation, end: int) -> str:
    """Returns the messages before `end`, and the tools, which also determine the right answer."""
    parts = []
    for message in row.messages[:end]:
        said = _said(message) if isinstance(message, AssistantMessage) else message.content
        parts.append(f"{message.role}\0{said}")
    if row.tools is not None:
        parts += [tool.model_dump_json() for tool in row.tools]
    return "\0".join(parts)


def _said(message: AssistantMessage) -> str:
    calls = [f"\0{call.function.name}\0{call.function.arguments}" for call in message.tool_calls or ()]
    return "".join([message.content or "", *calls])


def _reasoning(messages: list[AssistantMessage]) -> str:
    return "\0".join(message.reasoning_content or "" for message in messages).strip("\0")


def _joined(texts: list[Text]) -> str:
    return "\n".join(text.text for text in texts)
