"""The distributions that this package needs, as Tunery's own metadata lists them."""

import re
from collections.abc import Iterator
from importlib.metadata import requires


def requirements() -> Iterator[str]:
    """Yields what `tunery[cluster]` requires, each in the form that pip takes. Raises PackageNotFoundError
    if Tunery is not installed, but only found on the path."""
    yield from (line for line in requires("tunery") or () if "extra" not in line.partition(";")[2])
    yield from requirements_of_extra("cluster")


def requirements_of_extra(extra: str) -> Iterator[str]:
    """Yields what only this extra requires. Raises PackageNotFoundError like `requirements`."""
    for line in requires("tunery") or ():
        requirement, _, marker = line.partition(";")
        if f'extra == "{extra}"' in marker.replace("'", '"'):
            yield requirement.strip()


def distribution_name(requirement: str) -> str:
    """Returns the name alone, without extras and versions."""
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
