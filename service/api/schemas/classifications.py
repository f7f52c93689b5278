"""`POST /v1/classifications`: request and response."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from cluster.contracts.classification import MAX_INPUTS
from service.api.schemas.base import Answer, Body, InputUsage

Word = Annotated[str, Field(min_length=1)]
Words = Annotated[list[Word], Field(fail_fast=True, min_length=1)]
ClassScores = TypeAliasType("ClassScores", dict[str, float])
"""Probability by class."""
Score = Annotated[float, Field(ge=0, le=1)]


class TextPair(Body):
    """Input for a model that was tuned on pairs of texts."""

    text: str
    text_pair: str


class ClassificationBody(Body):
    model: str
    """A model tuned from an encoder."""
    input: (
        str
        | Annotated[list[str], Field(fail_fast=True, min_length=1, max_length=MAX_INPUTS)]
        | Annotated[list[Words], Field(fail_fast=True, min_length=1, max_length=MAX_INPUTS)]
        | Annotated[list[TextPair], Field(fail_fast=True, min_length=1, max_length=MAX_INPUTS)]
    )
    """The texts to classify. A model that classifies texts takes a text, texts, or pairs of texts; a model
    that classifies words takes lists of words."""


class ClassifiedText(Answer):
    index: int
    """Index of the input."""
    label: str
    """The most likely class."""
    score: Score
    """The label's probability."""
    scores: ClassScores


class ClassifiedWord(Answer):
    word: str
    label: str
    score: Score


class ClassifiedWords(Answer):
    index: int
    tokens: list[ClassifiedWord]
    """One per word."""


class Classification(Answer):
    id: str
    object: Literal["classification"] = "classification"
    created: int
    """Unix seconds."""
    model: str
    data: list[ClassifiedText | ClassifiedWords]
    """One result per input, in the order of the inputs."""
    usage: InputUsage
