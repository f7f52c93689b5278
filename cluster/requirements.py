"""The distributions that this package needs, as Tunery's own metadata lists them."""

import re
from collections.abc import Iterator
from importlib.metadata import requires


def requirements() -> Iterator[str]:
    """What `tunery[cluster]` requires, each as pip takes it. Raises PackageNotFoundError where Tunery is not
    installed, but only found on the path."""
    for line in requires("tunery") or ():
        requirement, _, marker = line.partition(";")
        if "extra" not in marker:
            yield line
        elif 'extra == "cluster"' in marker.replace("'", '"'):
            yield requirement.strip()


def distribution_name(requirement: str) -> str:
    """The name alone, without extras and versions."""
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
