"""Problems that are planted at known lines are found there, each once, and clean files have none."""

import io
import json
from functools import partial
from random import Random
from typing import Any

import pytest

from cluster.contracts.data_report import MAX_PLACES, DataReport, FindingPlace
from cluster.data_checks.check import check_data
from cluster.data_checks.majority import Majority
from tests.documents import ROOT

SYSTEM = "You answer questions about orders in one sentence."
_WORDS = [
    "kettle",
    "boots",
    "lamp",
    "table",
    "garden",
    "piano",
    "window",
    "bridge",
    "river",
    "cloud",
    "copper",
    "stone",
]


def chat(question: str, answer: str, *, system: str | None = SYSTEM, **more: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    return {"messages": messages, **more}


def clean_rows(num_rows: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows that differ in nearly all words."""
    random = Random(seed)

    def words(count: int) -> str:
        return " ".join(random.choice(_WORDS) + random.choice(_WORDS) for _ in range(count))

    return [
        chat(f"Where is order {place}: {words(12)}?", f"It is with {words(9)}.") for place in range(num_rows)
    ]


def report_of(rows: list[Any], validation: list[Any] | None = None) -> DataReport:
    def stream(rows: list[Any]) -> io.BytesIO:
        lines = [
            row if isinstance(row, bytes) else json.dumps(row, ensure_ascii=False).encode() for row in rows
        ]
        return io.BytesIO(b"\n".join(lines))

    return check_data(stream(rows), validation=None if validation is None else stream(validation))


def lines_by_code(report: DataReport) -> dict[str, list[int]]:
    return {finding.code: [place.line for place in finding.places] for finding in report.findings}


CARD = "4012 8888 8888 1881"
IBAN = "DE89 3704 0044 0532 0130 00"
API_KEY = "sk-proj-" + "Ab3dE5" * 8
SECRETS = {
    "private_key": "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA",
    "api_key": API_KEY,
    "url_credentials": "postgresql://admin:hunter2hunter2@db.internal/orders",
    "email_address": "jane.roe@gmail.com",
    "phone_number": "+49 30 1234567",
    "card_number": CARD,
    "iban": IBAN,
}
IN_TEXT = {
    "control_character": "a\u0008b",
    "invisible_character": "pay\u200bment",
    "template_marker": "<|im_start|>system",
    "mojibake": "The cafÃ© is open",
    "replacement_character": "na\ufffdve",
    "mixed_scripts": "p\u0430ypal",
    **{code: f"It belongs to {secret} now." for code, secret in SECRETS.items()},
}
ANSWERS = {
    "empty_answer": " \n",
    "placeholder_answer": "TODO",
    "refusal": "I'm sorry, but I can't help with that.",
    "unusual_script": "Заказ уже отправлен вчера вечером.",
}


@pytest.mark.parametrize("code", IN_TEXT)
def test_what_is_planted_in_a_text_is_found_at_its_line_and_character(code: str) -> None:
    rows = clean_rows(30)
    rows[6]["messages"][1]["content"] += " " + IN_TEXT[code]
    rows[17]["messages"][2]["content"] = IN_TEXT[code]
    report = report_of(rows)
    assert lines_by_code(report) == {code: [7, 18]}
    (finding,) = report.findings
    assert (finding.count, finding.severity) == (2, "warning")
    assert [place.param for place in finding.places] == ["messages[1].content", "messages[2].content"]
    line = json.dumps(rows[6], ensure_ascii=False)
    begin = line.index(rows[6]["messages"][1]["content"][:20])
    assert begin < finding.places[0].column - 1 <= line.index('"}', begin)


@pytest.mark.parametrize("code", ANSWERS)
def test_an_answer_not_worth_learning_is_found(code: str) -> None:
    rows = clean_rows(30)
    rows[11]["messages"][2]["content"] = ANSWERS[code]
    assert lines_by_code(report_of(rows)) == {code: [12]}


def test_repeated_and_contradicting_rows_are_found_with_the_line_that_they_repeat() -> None:
    rows = clean_rows(30)
    rows[9] = rows[2]
    rows[19] = chat(rows[4]["messages"][1]["content"], "Something else.")
    rows[24] = chat(rows[5]["messages"][1]["content"] + " Please.", rows[5]["messages"][2]["content"])
    report = report_of(rows)
    assert lines_by_code(report) == {
        "exact_duplicate": [10],
        "conflicting_answers": [20],
        "near_duplicate": [25],
    }
    related = {finding.code: finding.places[0].related_line for finding in report.findings}
    assert related == {"exact_duplicate": 3, "conflicting_answers": 5, "near_duplicate": 6}


def test_rows_that_differ_in_their_reasoning_are_not_the_same() -> None:
    rows = clean_rows(20)
    for place, thought in ((2, "I look at the list."), (9, " ".join(_WORDS)), (15, "I look at the list.")):
        rows[place] = json.loads(json.dumps(rows[2]))
        rows[place]["messages"][2]["reasoning_content"] = thought
    assert lines_by_code(report_of(rows)) == {"exact_duplicate": [16]}


def test_markers_in_completions_are_their_authors() -> None:
    texts = [row["messages"][1]["content"] for row in clean_rows(12)]
    rows = [{"prompt": f"<|user|>{text}<|end|>", "completion": f"{text[::-1]}</s>"} for text in texts]
    assert lines_by_code(report_of(rows)) == {}


def test_an_answer_that_begins_with_its_prompt_is_found() -> None:
    rows = clean_rows(20)
    rows[3]["messages"][2]["content"] = rows[3]["messages"][1]["content"] + " It is here."
    assert lines_by_code(report_of(rows)) == {"repeated_prompt": [4]}


def test_overlap_with_the_validation_file_is_found() -> None:
    rows, validation = clean_rows(20), clean_rows(10, seed=1)
    validation[3] = chat(rows[7]["messages"][1]["content"], "Another answer.")
    long = rows[12]["messages"]
    validation[5] = chat(long[1]["content"], long[2]["content"] + " Yes.")
    validation[5]["messages"][1]["content"] += " Now."
    report = report_of(rows, validation)
    assert lines_by_code(report) == {"validation_overlap": [8], "near_validation_overlap": [13]}
    assert [finding.places[0].related_line for finding in report.findings] == [6, 4]


def test_a_row_of_both_files_is_one_overlap() -> None:
    rows, validation = clean_rows(20), clean_rows(10, seed=1)
    validation[3] = rows[7]
    rows[15] = rows[7]
    report = report_of(rows, validation)
    assert lines_by_code(report) == {"validation_overlap": [8, 16], "exact_duplicate": [16]}


def test_blank_lines_are_lines() -> None:
    lines = [json.dumps(row) for row in clean_rows(12)]
    content = "\n".join([*lines[:5], "", "", *lines[5:], "", ""])
    report = check_data(io.BytesIO(content.encode()))
    assert (report.n_lines, report.n_examples) == (14, 12)
    assert lines_by_code(report) == {"blank_line": [6]}


def test_system_prompts_that_differ_or_are_doubled_are_found() -> None:
    rows = clean_rows(30)
    rows[4] = chat("Where is it, please?", "It is on its way.", system="You are a pirate.")
    rows[9] = chat("And where is the other one?", "At home.", system=None)
    rows[14]["messages"][0]["content"] = f"{SYSTEM}\n{SYSTEM}"
    rows[20]["messages"].insert(1, rows[20]["messages"][0])
    # The share of rows with the usual prompt stays above nine tenths.
    report = report_of(rows + clean_rows(40, seed=2))
    assert lines_by_code(report) == {
        "inconsistent_system_prompt": [5, 10, 15, 21],
        "doubled_system_prompt": [15, 21],
    }


def test_labels_are_counted_and_imbalance_is_reported() -> None:
    texts = [f"text {place} {_WORDS[place % 12]}" for place in range(60)]
    rows = [{"text": text, "label": "common"} for text in texts[:57]]
    rows += [
        {"text": text, "label": label}
        for text, label in zip(texts[57:], ["rare", "rare", API_KEY], strict=True)
    ]
    report = report_of(rows)
    assert report.labels is not None
    assert report.labels.kind == "labels"
    assert [(one.label, one.count) for one in report.labels.counts] == [
        ("common", 57),
        ("rare", 2),
        (None, 1),
    ]
    assert lines_by_code(report) == {"rare_label": [58, 60], "label_imbalance": [0]}


def test_short_repeated_answers_are_counted_like_labels() -> None:
    questions = [row["messages"][1]["content"] for row in clean_rows(60)]
    report = report_of(
        [chat(question, "yes" if place % 3 else "no") for place, question in enumerate(questions)]
    )
    assert report.labels is not None
    assert [(one.label, one.count) for one in report.labels.counts] == [("yes", 40), ("no", 20)]
    assert report.findings == []


def test_preferences_that_contradict_each_other_are_found() -> None:
    def pair(question: str, better: str, worse: str) -> dict[str, Any]:
        return {
            "input": {"messages": [{"role": "user", "content": question}]},
            "preferred_output": [{"role": "assistant", "content": better}],
            "non_preferred_output": [{"role": "assistant", "content": worse}],
        }

    questions = [row["messages"][1]["content"] for row in clean_rows(20)]
    rows = [pair(question, f"Good {place}.", f"Bad {place}.") for place, question in enumerate(questions)]
    rows[10] = pair(questions[3], "Bad 3.", "Good 3.")
    rows[15] = pair(questions[15], "Same.", "Same.")
    assert lines_by_code(report_of(rows)) == {
        "identical_answers": [16],
        "conflicting_answers": [11],
        "near_duplicate": [11],
    }


def test_what_the_worse_answer_says_is_no_problem() -> None:
    rows = [
        {
            "input": {"messages": row["messages"][:2]},
            "preferred_output": [row["messages"][2]],
            "non_preferred_output": [{"role": "assistant", "content": "I'm sorry, but I can't help."}],
        }
        for row in clean_rows(20)
    ]
    assert lines_by_code(report_of(rows)) == {}
    rows[3]["preferred_output"] = [{"role": "assistant", "content": "I cannot help with that."}]
    assert lines_by_code(report_of(rows)) == {"refusal": [4]}


def test_the_first_unusual_places_are_named_whichever_kind_is_usual() -> None:
    majority = Majority(share=0.9, least=10)
    kinds = ["rare"] * 70 + ["seldom"] * 20 + ["usual"] * 2000 + ["late"]
    for line, kind in enumerate(kinds, start=1):
        majority.add(kind, partial(FindingPlace, line=line))
    assert majority.num_unusual == 91
    assert [place.line for _, place in majority.unusual()][:MAX_PLACES] == list(range(1, MAX_PLACES + 1))


def test_every_broken_rule_of_a_line_is_listed_with_its_column() -> None:
    rows: list[Any] = clean_rows(15)
    rows[3] = b'{"messages": [{"role": "user", "content": 4}, {"role": "bot"}], "extra": 1}'
    rows[5] = b'{"messages": [}'
    rows[7] = '{"prompt": "é", x}'.encode()
    report = report_of(rows)
    places = {
        finding.code: [(one.line, one.column, one.param) for one in finding.places]
        for finding in report.findings
    }
    assert places == {
        "invalid_json": [(6, 15, None), (8, 17, None)],
        "invalid_value": [(4, 43, "messages[0].content")],
        "unknown_key": [(4, 74, "extra")],
        "unknown_role": [(4, 56, "messages[1].role")],
    }
    assert all(finding.severity == "error" for finding in report.findings)


def test_the_first_places_are_named_and_all_are_counted() -> None:
    rows = clean_rows(80)
    for row in rows:
        row["messages"][1]["content"] += " jane.roe@gmail.com"
    (finding,) = report_of(rows).findings
    assert finding.count == 80
    assert [place.line for place in finding.places] == list(range(1, MAX_PLACES + 1))


def test_secrets_never_appear_in_a_report() -> None:
    rows: list[Any] = clean_rows(20)
    for place, secret in enumerate(SECRETS.values()):
        rows[place]["messages"][1]["content"] += " " + secret
    rows += [
        {"messages": [{"role": "user", "content": {"key": API_KEY}}]},
        {"messages": [{"role": API_KEY, "content": "x", CARD: 1}]},
        {API_KEY: 1, "messages": []},
        f'{{"prompt": "{API_KEY}"'.encode(),
        f'{{"{API_KEY}": 1, "{API_KEY}": 1}}'.encode(),
    ]
    written = report_of(rows).model_dump_json()
    for secret in [*SECRETS.values(), "Ab3dE5", "8888", "3704", "hunter2", "jane"]:
        assert secret not in written


ENGLISH_DATA = ROOT / "service/cli/data/orders.train.jsonl"

MULTILINGUAL = {
    "de": (
        "Wo ist meine Bestellung über {} Stühle?",
        "Ihre {} Stühle kommen am Dienstag; wir grüßen Sie – herzlich.",
    ),
    "fr": ("Où est ma commande de {} pièces ?", "« Voilà » : vos {} pièces arrivent mardi, dès l'été."),
    "es": ("¿Dónde está mi pedido de {} sillas?", "Su pedido de {} sillas llega el próximo martes, señor."),
    "ru": ("Где мой заказ на {} стульев?", "Ваши {} стульев прибудут во вторник."),
    "el": ("Πού είναι η παραγγελία μου για {};", "Οι {} καρέκλες φτάνουν την Τρίτη."),
    "ar": ("أين طلبي المكون من {} كراسي؟", "ستصل الكراسي {} يوم الثلاثاء."),
    "hi": ("मेरी {} कुर्सियों का ऑर्डर कहाँ है?", "आपकी {} कुर्सियाँ मंगलवार को आएँगी।"),
    "zh": ("我的{}把椅子在哪里？", "您的{}把椅子星期二到。"),
    "ja": ("注文した椅子{}脚はどこですか。", "椅子{}脚は火曜日に届きます。"),
    "ko": ("의자 {}개 주문은 어디에 있나요?", "의자 {}개는 화요일에 도착합니다."),
    "en": (
        "Where are my {} chairs? 👩‍👩‍👧",
        "Your {} chairs arrive on 2026-05-12 at 10:30; that is 1.234,50 €.",
    ),
}


def test_the_shipped_file_is_clean() -> None:
    heldout = ENGLISH_DATA.with_name("orders.heldout.jsonl")
    with ENGLISH_DATA.open("rb") as training, heldout.open("rb") as validation:
        assert check_data(training, validation=validation).findings == []


def test_a_clean_file_in_many_languages_has_no_false_positive() -> None:
    rows = [
        chat(question.format(count), answer.format(count), system=None)
        for count in range(3)
        for question, answer in MULTILINGUAL.values()
    ]
    findings = lines_by_code(report_of(rows))
    # Templates that differ in a number are nearly the same; nothing else is wrong.
    assert set(findings) <= {"near_duplicate"}


def test_a_file_that_is_too_short_to_train_on_says_so() -> None:
    assert lines_by_code(report_of(clean_rows(9))) == {"few_examples": [0]}
    assert lines_by_code(report_of([])) == {"invalid_n_examples": [0]}
