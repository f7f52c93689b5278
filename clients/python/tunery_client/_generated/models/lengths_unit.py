from typing import Literal

LengthsUnit = Literal["characters", "tokens"]

LENGTHS_UNIT_VALUES: set[LengthsUnit] = {
    "characters",
    "tokens",
}


def check_lengths_unit(value: str) -> LengthsUnit:
    if value in LENGTHS_UNIT_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {LENGTHS_UNIT_VALUES!r}")
