import pytest

from cluster.contracts.durations import duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (-3, "0s"),
        (0.0001, "1ms"),
        (0.02, "20ms"),
        (0.644, "644ms"),
        (0.9999, "1s"),
        (1.2, "1.2s"),
        (9.816, "9.816s"),
        (59.9999, "1m0s"),
        (360, "6m0s"),
        (65.5, "1m5.5s"),
        (12_000, "3h20m0s"),
    ],
)
def test_durations_are_written_as_openai_writes_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
