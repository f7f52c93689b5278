"""The graders of OpenAI's API that need neither a model that grades nor code: what users write, checked."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from cluster.contracts.strict_model import Ignored, StrictModel
from cluster.grading.formula import FUNCTION_NAMES, MAX_LENGTH, Formula, FormulaError
from cluster.grading.templates import MAX_TEXT, check_template

MAX_GRADERS = 20
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_REFUSED = {
    "score_model": "It needs a model that grades, and this server has none for it",
    "label_model": "It needs a model that grades, and this server has none for it",
    "python": "This server runs no code of its users",
}


def _refuse_by_name(value: Any) -> Any:
    if isinstance(value, dict) and isinstance(type := value.get("type"), str) and type in _REFUSED:
        raise PydanticCustomError(
            "unsupported",
            "The grader '{grader}' is not available. {reason}",
            {"grader": type, "reason": _REFUSED[type]},
        )
    return value


Text = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(check_template)]
Name = Annotated[str, Field(min_length=1, max_length=256)]


class _Grader(StrictModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    name: Name = "grader"


class StringCheckGrader(_Grader):
    """1 if the check holds, otherwise 0."""

    type: Literal["string_check"]
    input: Text
    """The text to grade, with templates such as `{{sample.output_text}}`."""
    reference: Text
    """The text to compare it with, such as `{{item.answer}}`."""
    operation: Literal["eq", "ne", "like", "ilike"]
    """The comparison: equal, not equal, contains, or contains, ignoring case."""


class TextSimilarityGrader(_Grader):
    """Similarity of two texts, from 0 to 1."""

    type: Literal["text_similarity"]
    input: Text
    """The text to grade, with templates such as `{{sample.output_text}}`."""
    reference: Text
    """The text to compare it with, such as `{{item.answer}}`."""
    evaluation_metric: Literal[
        "cosine",
        "fuzzy_match",
        "bleu",
        "gleu",
        "meteor",
        "rouge_1",
        "rouge_2",
        "rouge_3",
        "rouge_4",
        "rouge_5",
        "rouge_l",
    ]
    """`cosine` requires an embedding model configured by the server's operator."""
    pass_threshold: Ignored = None


SingleGrader = TypeAliasType(
    "SingleGrader",
    Annotated[
        Annotated[StringCheckGrader | TextSimilarityGrader, Field(discriminator="type")],
        BeforeValidator(_refuse_by_name),
    ],
)


class MultiGrader(_Grader):
    """A formula over the scores of other graders."""

    type: Literal["multi"]
    graders: Annotated[dict[str, SingleGrader], Field(min_length=1, max_length=MAX_GRADERS)]
    """Graders by the names that the formula uses. A single grader is referred to by its own name."""
    calculate_output: Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)]
    """Numbers, names of graders, `+ - * / ^`, parentheses, and min, max, abs, floor, ceil, exp, sqrt, log."""

    @model_validator(mode="before")
    @classmethod
    def _name_one_grader(cls, data: Any) -> Any:
        """OpenAI's document has a single grader where its service takes a dictionary."""
        match data:
            case {"graders": {"type": str(), "name": str(name)} as only}:
                return data | {"graders": {name: only}}
        return data

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        for name in self.graders:
            if not _NAME.fullmatch(name) or name in FUNCTION_NAMES:
                raise ValueError(f"graders: '{name}' cannot be a name in a formula")
        try:
            names = self.formula.names
        except FormulaError as error:
            raise ValueError(f"calculate_output {error}") from error
        if unknown := sorted(names - self.graders.keys()):
            raise ValueError(f"calculate_output names '{unknown[0]}', which is none of the graders")
        return self

    @property
    def formula(self) -> Formula:
        return Formula(self.calculate_output)


Grader = TypeAliasType(
    "Grader",
    Annotated[
        Annotated[StringCheckGrader | TextSimilarityGrader | MultiGrader, Field(discriminator="type")],
        BeforeValidator(_refuse_by_name),
    ],
)
