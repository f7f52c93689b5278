from service.scheduling.rarely import Rarely


def test_a_thing_is_said_at_first_and_then_once_a_while() -> None:
    seconds = [0.0]
    rarely = Rarely(60, clock=lambda: seconds[0])
    said = []
    for second in range(0, 200, 5):
        seconds[0] = float(second)
        if rarely("away", "job-1"):
            said.append(second)
    assert said == [0, 60, 120, 180]
    assert rarely("away", "job-2")
    assert not rarely("away", "job-2")


def test_what_was_said_long_ago_is_forgotten() -> None:
    seconds = [0.0]
    rarely = Rarely(60, clock=lambda: seconds[0])
    for number in range(5000):
        seconds[0] += 1.0
        assert rarely(number)
    assert len(rarely._said_at) <= 1000
