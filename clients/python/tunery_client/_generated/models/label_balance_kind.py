from typing import Literal

LabelBalanceKind = Literal["answers", "labels"]

LABEL_BALANCE_KIND_VALUES: set[LabelBalanceKind] = {
    "answers",
    "labels",
}


def check_label_balance_kind(value: str) -> LabelBalanceKind:
    if value in LABEL_BALANCE_KIND_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {LABEL_BALANCE_KIND_VALUES!r}")
