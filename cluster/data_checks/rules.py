"""The rules of the data report. Codes are stable: clients match on them."""

from typing import NamedTuple

from cluster.contracts.data_report import Severity

RULES_VERSION = 4
"""Raise it when a report of the same file would differ. Stored reports of other versions are not used."""


class Rule(NamedTuple):
    code: str
    severity: Severity
    title: str
    """What is the case, as a sentence about one place."""
    remedy: str
    """What to do."""


def rule_of(code: str) -> Rule:
    """Returns the rule with this code. Each missing key has its own code, `missing_…`, and all of them share
    one rule."""
    if code in _BY_CODE:
        return _BY_CODE[code]
    if code.startswith("missing_"):
        return Rule(code, "error", f"The key {code.removeprefix('missing_')} is missing.", "Add it.")
    return Rule(code, "error", "The line breaks a rule.", "See the list of error codes.")


def _error(code: str, title: str, remedy: str) -> Rule:
    return Rule(code, "error", title, remedy)


def _warning(code: str, title: str, remedy: str) -> Rule:
    return Rule(code, "warning", title, remedy)


ERRORS = (
    _error("invalid_n_examples", "The file has no example.", "Training needs at least 10."),
    _error("invalid_encoding", "The line is not UTF-8.", "Save the file as UTF-8."),
    _error("invalid_json", "The line is not valid JSON.", "Write each row with a JSON library."),
    _error("not_an_object", "The line is not a JSON object.", "Write one object a line."),
    _error("blank_line", "A blank line lies between rows.", "Remove it."),
    _error("line_too_long", "The line has more than 1 MiB.", "Shorten or split the row."),
    _error("too_deep", "The line nests more than 64 levels.", "Flatten it."),
    _error("duplicate_key", "A key appears twice in one object.", "Remove one."),
    _error("nul_character", "A string contains the character NUL.", "Remove it."),
    _error("unknown_format", "The row is of no format that can be trained on.", "Convert the file."),
    _error("mixed_formats", "The row is of another format than the first one.", "Use one format a file."),
    _error(
        "wrong_format", "The base model cannot be trained on such rows.", "Choose another base or format."
    ),
    _error("unknown_key", "The key does not belong in a row.", "Remove it."),
    _error("unknown_role", "The message has an unknown role.", "Use system, user, assistant or tool."),
    _error("invalid_value", "A value is not allowed.", "The hint says what is allowed."),
    _error("empty_content", "A message's content is an empty list.", "Give a text or a text part."),
    _error("unsupported_content", "A message has a part that is not text.", "Leave the part out."),
    _error("empty_assistant", "An assistant message says nothing.", "Add content or tool calls."),
    _error("invalid_arguments", "The arguments of a tool call are not a JSON object.", "Use json.dumps."),
    _error("unknown_tool_call", "A tool message answers no tool call.", "Check tool_call_id."),
    _error("tools_and_functions", "The row has both tools and functions.", "Keep tools."),
    _error("nothing_to_learn", "No part of the row is learned.", "Add an answer with a weight other than 0."),
    _error("unequal_lengths", "tokens and labels differ in number.", "Give one label for each token."),
    _error("identical_answers", "Both answers of the preference are the same.", "Give two answers."),
    _error("invalid_messages", "The chat template refuses the messages.", "The job's error says why."),
    _error("not_in_chat_template", "The chat template would leave a part out.", "Leave that part out."),
)

WARNINGS = (
    _warning("few_examples", "The file has fewer examples than training needs.", "Training needs 10."),
    _warning(
        "exact_duplicate", "The row repeats an earlier row.", "Remove it, unless you mean to weight it."
    ),
    _warning("near_duplicate", "The row is nearly the same as an earlier row.", "Keep the better one."),
    _warning(
        "conflicting_answers",
        "An earlier row has the same prompt and another answer.",
        "Keep the right answer, or say in the prompt what makes the difference.",
    ),
    _warning(
        "validation_overlap",
        "The validation file has the same prompt.",
        "Remove the row from one of the files; its validation loss means nothing.",
    ),
    _warning(
        "near_validation_overlap",
        "The validation file has nearly the same row.",
        "Remove the row from one of the files.",
    ),
    _warning(
        "label_imbalance",
        "The most frequent label or answer is more than 10 times as frequent as the rarest.",
        "Add examples of the rare ones.",
    ),
    _warning("rare_label", "The label has fewer than 5 examples.", "Add examples, or merge labels."),
    _warning("over_length", "The example is longer than the base's context.", "See `overlength`."),
    _warning("empty_answer", "The answer is blank.", "Write the answer, or remove the row."),
    _warning("placeholder_answer", "The answer is a placeholder.", "Write the answer, or remove the row."),
    _warning("refusal", "The answer refuses or apologizes.", "Keep it only if the model should refuse."),
    _warning("repeated_prompt", "The answer begins with its prompt.", "Leave the prompt out of the answer."),
    _warning(
        "unusual_script",
        "The answer is in another script than nearly all others.",
        "Check the language of the row.",
    ),
    _warning(
        "mixed_scripts",
        "A word mixes letters that look alike, such as Latin and Cyrillic ones.",
        "Type the word again.",
    ),
    _warning("control_character", "The text has a control character.", "Remove it."),
    _warning(
        "invisible_character",
        "The text has an invisible character: a zero-width space or a mark of direction.",
        "Remove it, unless the language needs it.",
    ),
    _warning(
        "template_marker",
        "The text has a marker of a chat template, such as <|im_start|> or [INST].",
        "Remove it: the server applies the template itself.",
    ),
    _warning(
        "mojibake",
        "The text was decoded with a wrong encoding, as in Ã© for é.",
        "Decode the source as UTF-8 and export it again.",
    ),
    _warning(
        "replacement_character",
        "The text has U+FFFD, which stands for lost characters.",
        "Export the source again.",
    ),
    _warning("private_key", "The text has a private key.", "Remove it, and replace the key."),
    _warning("api_key", "The text has an API key, a token or a password.", "Remove it, and revoke it."),
    _warning("url_credentials", "The text has a URL with a password.", "Remove it, and change the password."),
    _warning(
        "email_address", "The text has an e-mail address.", "Remove it, or replace it by a made-up one."
    ),
    _warning("phone_number", "The text has a phone number.", "Remove it, or replace it by a made-up one."),
    _warning("card_number", "The text has the number of a payment card.", "Remove it."),
    _warning("iban", "The text has the number of a bank account.", "Remove it."),
    _warning("doubled_system_prompt", "The system prompt is there twice.", "Keep one."),
    _warning(
        "inconsistent_system_prompt",
        "The system prompt is not the one that nearly all rows have.",
        "Use the same one in every row, and in requests.",
    ),
)

_BY_CODE = {rule.code: rule for rule in (*ERRORS, *WARNINGS)}
