from typing import Literal

RepublishBodyGate = Literal["check", "skip"]

REPUBLISH_BODY_GATE_VALUES: set[RepublishBodyGate] = {
    "check",
    "skip",
}


def check_republish_body_gate(value: str) -> RepublishBodyGate:
    if value in REPUBLISH_BODY_GATE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {REPUBLISH_BODY_GATE_VALUES!r}")
