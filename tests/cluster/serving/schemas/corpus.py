"""Models as people write them, for the schemas that pydantic makes of them."""

import datetime
import decimal
import enum
import ipaddress
import pathlib
import uuid
from typing import Annotated, Any, Generic, Literal, NamedTuple, TypeVar

from pydantic import (
    AnyUrl,
    Base64Bytes,
    BaseModel,
    ConfigDict,
    Field,
    Json,
    NonNegativeInt,
    PositiveFloat,
    SecretStr,
    StringConstraints,
    conint,
    conlist,
    constr,
)
from typing_extensions import TypedDict

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Tags(BaseModel):
    tags: set[str]
    levels: frozenset[Level] = frozenset()


class Price(BaseModel):
    amount: decimal.Decimal
    rounded: Annotated[decimal.Decimal, Field(max_digits=5, decimal_places=2)]
    positive: Annotated[decimal.Decimal, Field(gt=0)]


class Account(BaseModel):
    """A docstring becomes a description."""

    model_config = ConfigDict(title="An account", json_schema_extra={"examples": [{"user": "x"}]})

    user: constr(pattern=r"^[a-z]{2,5}$") = Field(examples=["ann"], deprecated=True)  # type: ignore[valid-type]
    password: SecretStr
    age: conint(ge=0, le=150)  # type: ignore[valid-type]
    height: PositiveFloat | None = None
    visits: NonNegativeInt = 0


class Times(BaseModel):
    at: datetime.datetime
    on: datetime.date
    clock: datetime.time
    took: datetime.timedelta


class Names(BaseModel):
    id: uuid.UUID
    address: ipaddress.IPv4Address
    network: ipaddress.IPv4Network | None = None
    path: pathlib.Path
    site: AnyUrl | None = None
    raw: Base64Bytes | None = None


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    colour: Colour


class Owner(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    others: list[Cat | Dog] = []
    favourite: Colour | None = None
    level: Level | Literal["none"] = "none"


class Node(BaseModel):
    value: int
    children: list["Node"] = []
    next: "Node | None" = None


class Left(BaseModel):
    right: "Right | None" = None


class Right(BaseModel):
    left: Left
    number: int


class Point(NamedTuple):
    x: int
    y: bool = False


class Movie(TypedDict, total=False):
    title: str
    year: int


class Shapes(BaseModel):
    pair: tuple[int, str]
    many: tuple[bool, ...]
    point: Point
    movie: Movie
    short: conlist(int, min_length=1, max_length=3)  # type: ignore[valid-type]
    nested: list[list[tuple[int, int]]] = []


class Maps(BaseModel):
    counts: dict[str, int]
    by_colour: dict[Colour, int] = {}
    by_code: dict[Annotated[str, StringConstraints(pattern="^[A-Z]{2}$")], bool] = {}
    by_short: dict[Annotated[str, StringConstraints(min_length=1, max_length=3)], bool] = {}
    some: Annotated[dict[str, int], Field(min_length=1, max_length=2)] = {"a": 1}
    anything: dict[str, Any] = {}
    whatever: Any = None
    written: Json[list[int]] | None = None


class Page(BaseModel, Generic[T]):
    items: list[T]
    total: int


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")

    inner: Page[Cat]


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: str


class Password(BaseModel):
    word: Annotated[str, Field(json_schema_extra={"pattern": r"^(?=.*[0-9])(?=.*[a-z])(?!.*\s).{4,12}$"})]


MODELS: list[type[BaseModel]] = [
    *(Tags, Price, Account, Times, Names, Owner, Node, Left, Shapes, Maps, Page[int], Page[Owner]),
    *(Strict, Open, Password),
]
