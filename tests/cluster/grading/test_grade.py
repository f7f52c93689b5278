from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from cluster.grading.grade import Sample, grade, texts_to_embed
from cluster.grading.graders import Grader
from cluster.grading.templates import MAX_TEXT

GRADERS: TypeAdapter[Any] = TypeAdapter(Grader)
ITEM = {
    "answer": "Paris",
    "rows": [{"n": 1}, {"n": 2.5}],
    "with space": "x",
    "none": None,
    "long": "a" * 9000,
}


def check(input: str, reference: str, operation: str = "eq", **changes: object) -> dict[str, Any]:
    base = {"type": "string_check", "name": "check", "input": input, "reference": reference}
    return base | {"operation": operation} | changes


def run(grader: dict[str, Any], sample: str = "Paris", item: dict[str, Any] = ITEM):
    return grade(GRADERS.validate_python(grader), item, Sample(sample))


@pytest.mark.parametrize(
    ("operation", "input", "reference", "reward"),
    [
        ("eq", "Paris", "Paris", 1),
        ("eq", "paris", "Paris", 0),
        ("ne", "paris", "Paris", 1),
        ("ne", "Paris", "Paris", 0),
        ("like", "It is Paris.", "Paris", 1),
        ("like", "It is paris.", "Paris", 0),
        ("ilike", "It is PARIS.", "paris", 1),
        ("ilike", "STRASSE", "straße", 1),
        ("ilike", "Paris", "It is Paris.", 0),
    ],
)
def test_string_checks(operation: str, input: str, reference: str, reward: float) -> None:
    assert run(check(input, reference, operation)).reward == reward


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{item.answer}}", "Paris"),
        ("<{{ item.answer }}{{sample.output_text}}>", '<Paris{"a":{"b":[true,null]}}>'),
        ("{{item.rows[1].n}}", "2.5"),
        ("{{item.rows}}", '[{"n":1},{"n":2.5}]'),
        ('{{item["with space"]}}', "x"),
        ("{{item.none}}", "null"),
        ("{{sample.output_json.a.b[0]}}", "true"),
        ("no template, { braces } and {{", "no template, { braces } and {{"),
    ],
)
def test_templates_are_filled_in(template: str, text: str) -> None:
    graded = run(check(template, text), sample='{"a":{"b":[true,null]}}')
    assert (graded.reward, graded.details) == (1, None)


def test_filled_in_text_is_not_a_template_again() -> None:
    assert run(check("{{sample.output_text}}", "Paris", "ne"), sample="{{item.answer}}").reward == 1


@pytest.mark.parametrize(
    "template",
    [
        "{{answer}}",
        "{{item}}",
        "{{env.HOME}}",
        "{{item.a + 1}}",
        "{{item.a()}}",
        "{{ }}",
        "{{item.a|upper}}",
        "{{item..a}}",
        "{{item[a]}}",
        "{{item.rows[-1]}}",
    ],
)
def test_a_template_is_a_path_and_nothing_else(template: str) -> None:
    with pytest.raises(ValidationError, match="must be a path"):
        GRADERS.validate_python(check(template, "x"))


def test_attributes_of_values_are_not_reachable() -> None:
    assert run(check("{{item.__class__}}", "x")).faults == {"invalid_variable_error"}
    assert run(check("{{sample.output_text.upper}}", "x")).faults == {"invalid_variable_error"}


def test_faults_are_told_apart_and_give_no_reward() -> None:
    for template, sample, fault in (
        ("{{item.absent}}", "x", "invalid_variable_error"),
        ("{{item.rows[9]}}", "x", "invalid_variable_error"),
        ("{{item.answer[0]}}", "x", "invalid_variable_error"),
        ("{{sample.output_json.a}}", "no json", "sample_parse_error"),
        ("{{sample.output_json.a}}", "{}", "invalid_variable_error"),
        ("{{item.long}}{{item.long}}{{item.long}}", "x", "other_error"),
        ("{{sample.output_text}}", "a" * (MAX_TEXT + 1), "other_error"),
    ):
        graded = run(check(template, template, "eq"), sample)
        assert (graded.reward, graded.faults) == (0, {fault})
        assert graded.details is not None
        assert graded.details.startswith("check: ")


MULTI = {
    "type": "multi",
    "name": "both",
    "graders": {
        "name": {
            "type": "text_similarity",
            "name": "name_grader",
            "input": "{{sample.output_json.name}}",
            "reference": "{{item.name}}",
            "evaluation_metric": "fuzzy_match",
            "pass_threshold": 0.9,
        },
        "email": check("{{sample.output_json.email}}", "{{item.email}}"),
    },
    "calculate_output": "(name + email) / 2",
}
PERSON = {"name": "John Doe", "email": "john@example.com"}


def test_a_multi_grader_combines_the_scores() -> None:
    graded = run(MULTI, '{"name": "Jon Doe", "email": "john@example.com"}', PERSON)
    assert graded.sub_rewards == {"name": pytest.approx(14 / 15), "email": 1}
    assert graded.reward == pytest.approx((14 / 15 + 1) / 2)
    assert graded.faults == frozenset()


def test_a_multi_grader_goes_on_if_one_of_its_graders_cannot_grade() -> None:
    graded = run(MULTI, '{"name": "John Doe"}', PERSON)
    assert (graded.reward, graded.faults) == (0.5, {"invalid_variable_error"})
    graded = run(MULTI | {"calculate_output": "name / email"}, '{"name": "John Doe"}', PERSON)
    assert (graded.reward, graded.faults) == (0, {"invalid_variable_error", "other_error"})


def test_a_multi_grader_with_one_grader_as_in_openais_document() -> None:
    only = MULTI | {"graders": check("{{item.answer}}", "Paris"), "calculate_output": "2 * check"}
    assert run(only).reward == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"calculate_output": "name +"}, "ends where a number or a name should follow"),
        ({"calculate_output": "name + phone"}, "names 'phone', which is none of the graders"),
        ({"graders": {}}, "at least 1 item"),
        ({"graders": {"min": check("a", "b")}}, "'min' cannot be a name"),
        ({"graders": {"my-grader": check("a", "b")}}, "'my-grader' cannot be a name"),
        ({"graders": {"a": MULTI}}, "does not match any of the expected tags"),
        ({"graders": {f"g{i}": check("a", "b") for i in range(21)}}, "at most 20 items"),
    ],
)
def test_a_multi_grader_that_could_not_work_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        GRADERS.validate_python(MULTI | changes)


@pytest.mark.parametrize(
    ("grader", "reason"),
    [
        ({"type": "python", "name": "p", "source": "def grade(sample, item): return 1"}, "runs no code"),
        ({"type": "score_model", "name": "s", "model": "m", "input": []}, "needs a model that grades"),
        ({"type": "label_model", "name": "l", "model": "m", "input": []}, "needs a model that grades"),
        (MULTI | {"graders": {"p": {"type": "python", "name": "p", "source": ""}}}, "runs no code"),
    ],
)
def test_graders_that_this_server_cannot_run_are_refused_by_name(grader: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        GRADERS.validate_python(grader)


COSINE = {
    "type": "text_similarity",
    "name": "near",
    "input": "{{sample.output_text}}",
    "reference": "{{item.answer}}",
    "evaluation_metric": "cosine",
}


@pytest.mark.parametrize(
    ("sample", "reward"), [("same", 1), ("close", 0.6), ("opposite", 0), ("", 0), ("Paris", 1)]
)
def test_cosine_compares_the_embeddings_of_the_texts(sample: str, reward: float) -> None:
    vectors = {"Paris": (1.0, 0.0), "same": (1.0, 0.0), "close": (0.6, 0.8), "opposite": (-1.0, 0.0)}
    grader, answer = GRADERS.validate_python(COSINE), Sample(sample)
    wanted = texts_to_embed(grader, ITEM, answer)
    assert wanted == {sample, "Paris"} - {""}
    graded = grade(grader, ITEM, answer, {text: vectors[text] for text in wanted})
    assert (graded.reward, graded.details) == (pytest.approx(reward), None)


def test_a_text_without_an_embedding_is_too_long_for_the_model() -> None:
    multi = MULTI | {"graders": {"near": COSINE, "exact": check("{{item.answer}}", "Paris")}}
    graded = run(multi | {"calculate_output": "near + exact"})
    assert (graded.reward, graded.faults) == (1, {"other_error"})
    assert graded.details == "near: a text is too long for the embedding model."


def test_only_graders_that_compare_embeddings_need_texts() -> None:
    multi = GRADERS.validate_python(
        MULTI
        | {
            "graders": {
                "near": COSINE,
                "bad": COSINE | {"input": "{{item.nothing}}"},
                "exact": check("a", "b"),
            },
            "calculate_output": "near + bad + exact",
        }
    )
    assert texts_to_embed(multi, ITEM, Sample("Rome")) == {"Rome", "Paris"}
