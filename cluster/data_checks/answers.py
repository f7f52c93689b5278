"""Answers that are not worth learning."""

import re
from collections.abc import Iterator

from cluster.data_checks.texts import Answer

_HEAD_CHARACTERS = 300
_LONG_PROMPT_CHARACTERS = 20
"""Minimum length of a prompt for an answer that begins with it to count as a copy. With a shorter prompt,
that may be chance."""

_CANNOT = r"(?:can(?:no|['’]?)t|can not|won['’]?t|will not|am (?:not able|unable)|['’]m (?:not able|unable))"
_REFUSALS = (
    rf"\b(?:sorry|apologi[sz]e)\b.{{0,60}}\bI\s?{_CANNOT}\b",
    rf"^I\s?{_CANNOT} (?:to )?(?:assist|help|comply|fulfil|provide|answer|do that|support|generate|create)",
    r"\bas an? (?:AI|artificial intelligence)(?: language)? (?:model|assistant)\b",
    r"\bals (?:ein )?KI[- ](?:Sprachm|M)odell\b",
    r"\b(?:tut mir leid|entschuldigung)\b.{0,40}\b(?:kann ich|ich kann)\b.{0,60}\bnicht\b",
    r"\ben tant qu['’](?:IA|intelligence artificielle|assistant IA)\b|\ben tant que modèle de langage\b",
    r"\bdésolée?\b.{0,40}\bje ne (?:peux|suis) pas\b",
    r"\blo siento\b.{0,40}\bno puedo\b|\bcomo (?:una )?IA\b|\bcomo modelo de lenguaje\b",
    r"作为(?:一个|一名)?(?:人工智能|AI)|(?:抱歉|对不起).{0,10}(?:无法|不能)",
    r"申し訳(?:ありません|ございません)が.{0,40}(?:できません|お答えできません)|AI(?:言語モデル|アシスタント)として",
)
_REFUSAL_SIGNS = (
    *(
        "sorry",
        "apolog",
        "cannot",
        "can not",
        "can't",
        "can’t",
        "cant",
        "won't",
        "won’t",
        "unable",
        "not able",
    ),
    *(
        " ai",
        " artificial",
        "ki-",
        "ki ",
        "leid",
        "entschuldigung",
        " ia",
        "d'ia",
        "désol",
        "siento",
        "modelo",
    ),
    *("modèle", "作为", "抱歉", "对不起", "申し訳", "として"),
)
"""Parts of refusals, in lower case. An answer without any of them does not refuse. Searching for them is
faster than the pattern."""
_REFUSAL = re.compile("|".join(_REFUSALS), re.IGNORECASE | re.DOTALL)
_PLACEHOLDER = re.compile(
    r"\.{2,}|…|-+|\?+|nan|null|undefined|todo|tbd|xxx+|lorem ipsum.*|\[object Object\]|<[\w ]+>"
    r"|\[[\w ]+ here\]",
    re.IGNORECASE | re.DOTALL,
)


def judge(answer: Answer) -> Iterator[str]:
    """Yields the codes of the rules that an answer breaks."""
    text = answer.text.text.strip()
    if not text:
        yield "empty_answer"
        return
    head = text[:_HEAD_CHARACTERS]
    if _PLACEHOLDER.fullmatch(head):
        yield "placeholder_answer"
    elif any(map(head.lower().__contains__, _REFUSAL_SIGNS)) and _REFUSAL.search(head):
        yield "refusal"
    prompt = answer.prompt
    if prompt and (text == prompt or (len(prompt) >= _LONG_PROMPT_CHARACTERS and text.startswith(prompt))):
        yield "repeated_prompt"
