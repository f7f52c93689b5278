"""Formulas of multi graders: arithmetic over the scores of other graders, parsed here and never evaluated as
code.

    sum     = product {("+" | "-") product}
    product = unary {("*" | "/") unary}
    unary   = ["-" | "+"] unary | power
    power   = atom ["^" unary]
    atom    = number | name | function "(" sum {"," sum} ")" | "(" sum ")"
"""

import math
import re
from collections.abc import Callable, Mapping

MAX_LENGTH = 1000
_MAX_DEPTH = 32
_TOKEN = re.compile(
    r"\s*(?:(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+)|(?P<name>[A-Za-z_]\w*)|(?P<sign>\S))"
)
_FUNCTIONS: Mapping[str, tuple[int, Callable[..., float]]] = {
    "min": (0, min),
    "max": (0, max),
    "abs": (1, abs),
    "floor": (1, math.floor),
    "ceil": (1, math.ceil),
    "exp": (1, math.exp),
    "sqrt": (1, math.sqrt),
    "log": (1, math.log),
}
"""Functions with the number of their arguments; 0 means any number."""
_OPERATORS: Mapping[str, Callable[[float, float], float]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right,
    "^": math.pow,
}
FUNCTION_NAMES = frozenset(_FUNCTIONS)
_Node = Callable[[Mapping[str, float]], float]


class FormulaError(ValueError):
    """A formula that cannot be read, or that has no finite value for these scores."""


class Formula:
    """A parsed formula."""

    def __init__(self, text: str) -> None:
        """Raises FormulaError, which says where the text is wrong."""
        parser = _Parser(text)
        self._value = parser.parse()
        self.names: frozenset[str] = frozenset(parser.names)
        """Names of the graders in the formula."""

    def __call__(self, scores: Mapping[str, float]) -> float:
        """Returns the value for the scores of all `names`. Raises FormulaError if it is not a finite
        number."""
        try:
            value = float(self._value(scores))
        except ZeroDivisionError as error:
            raise FormulaError("divides by zero") from error
        except (ValueError, OverflowError) as error:
            raise FormulaError("has no finite value") from error
        if not math.isfinite(value):
            raise FormulaError("has no finite value")
        return value


class _Parser:
    def __init__(self, text: str) -> None:
        if len(text) > MAX_LENGTH:
            raise FormulaError(f"is longer than {MAX_LENGTH} characters")
        self._tokens = [
            (found.lastgroup or "", found[found.lastgroup or 0]) for found in _TOKEN.finditer(text)
        ]
        self._next = 0
        self._depth = 0
        self.names: set[str] = set()

    def parse(self) -> _Node:
        node = self._sum()
        if self._next < len(self._tokens):
            raise self._expected("an operator")
        return node

    def _sum(self) -> _Node:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise FormulaError(f"is nested deeper than {_MAX_DEPTH} levels")
        node = self._chain(self._product, "+-")
        self._depth -= 1
        return node

    def _product(self) -> _Node:
        return self._chain(self._unary, "*/")

    def _chain(self, operand: Callable[[], _Node], operators: str) -> _Node:
        """Operands between operators, from left to right."""
        first, rest = operand(), []
        while (sign := self._take_one_of(operators)) is not None:
            rest.append((_OPERATORS[sign], operand()))

        def value(scores: Mapping[str, float]) -> float:
            result = first(scores)
            for operator, node in rest:
                result = operator(result, node(scores))
            return result

        return value

    def _unary(self) -> _Node:
        is_negative = False
        while (sign := self._take_one_of("+-")) is not None:
            is_negative ^= sign == "-"
        node = self._power()
        return (lambda scores: -node(scores)) if is_negative else node

    def _power(self) -> _Node:
        base = self._atom()
        if self._take_one_of("^") is None:
            return base
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise FormulaError(f"is nested deeper than {_MAX_DEPTH} levels")
        exponent = self._unary()
        self._depth -= 1
        return lambda scores: _OPERATORS["^"](base(scores), exponent(scores))

    def _atom(self) -> _Node:
        kind, text = self._take()
        if kind == "number":
            number = float(text)
            return lambda _: number
        if kind == "name" and self._take_one_of("(") is None:
            self.names.add(text)
            return lambda scores: scores[text]
        if kind == "name":
            return self._call(text)
        if text == "(":
            node = self._sum()
            self._expect(")")
            return node
        self._next -= 1
        raise self._expected("a number or a name")

    def _call(self, name: str) -> _Node:
        if name not in _FUNCTIONS:
            raise FormulaError(f"calls '{name}', which is none of {', '.join(sorted(_FUNCTIONS))}")
        wanted, function = _FUNCTIONS[name]
        arguments = [self._sum()]
        while self._take_one_of(",") is not None:
            arguments.append(self._sum())
        self._expect(")")
        if wanted and len(arguments) != wanted:
            raise FormulaError(f"gives {len(arguments)} arguments to '{name}'; it takes {wanted}")
        if len(arguments) == 1 and not wanted:
            return arguments[0]
        return lambda scores: function(*(argument(scores) for argument in arguments))

    def _take(self) -> tuple[str, str]:
        if self._next == len(self._tokens):
            raise self._expected("a number or a name")
        self._next += 1
        return self._tokens[self._next - 1]

    def _take_one_of(self, signs: str) -> str | None:
        if self._next < len(self._tokens) and self._tokens[self._next][1] in [*signs]:
            self._next += 1
            return self._tokens[self._next - 1][1]
        return None

    def _expect(self, sign: str) -> None:
        if self._take_one_of(sign) is None:
            raise self._expected(f"'{sign}'")

    def _expected(self, what: str) -> FormulaError:
        if self._next == len(self._tokens):
            return FormulaError(f"ends where {what} should follow")
        return FormulaError(f"has '{self._tokens[self._next][1]}' where {what} should be")
