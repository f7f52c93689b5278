"""How far serving's log-probabilities are from training's."""

from cluster.contracts.frozen import FrozenModel


class Differences(FrozenModel):
    """Differences between the log-probabilities of serving and of training on the same tokens, in nats."""

    max_abs: float
    mean_abs: float
    p99_abs: float | None = None
    """99 of 100 tokens differ by no more. None in what earlier releases measured."""
    same_top: float | None = None
    """The share of places where both find the same token most likely. None if that was not compared: for an
    encoder, and in what earlier releases measured."""


class Parity(Differences):
    """What the publish gate measured of a tuned model."""

    noise: Differences | None = None
    """Differences for the base on the same tokens, without what was trained. None if it could not be
    measured."""
    effect: float | None = None
    """How much of what training changed serving changes too: 1 is all of it, 0 the bare base. None if the
    change is too small, beside the noise, to tell."""
