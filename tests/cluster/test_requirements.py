"""What Tunery requires, by its metadata."""

import pytest

from cluster import requirements
from cluster.requirements import distribution_name


def test_base_dependencies_and_those_of_the_cluster_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = [
        "pydantic<3,>=2.14",
        'tomli>=2; python_version < "3.11"',
        'torch>=2.11; extra == "cluster"',
        "jinja2>=3.1 ; extra == 'cluster'",
        'fastapi>=0.165; extra == "service"',
        'tunery[cluster,service]; extra == "all"',
    ]
    monkeypatch.setattr(requirements, "requires", lambda name: listed)
    assert list(requirements.requirements()) == [*listed[:2], "torch>=2.11", "jinja2>=3.1"]


@pytest.mark.parametrize(
    ("requirement", "name"),
    [
        ("ray[default,serve]==2.60.*", "ray"),
        ("pydantic-settings>=2.16", "pydantic-settings"),
        ("numpy", "numpy"),
        ('tomli >=2 ; python_version < "3.11"', "tomli"),
    ],
)
def test_a_requirement_names_its_distribution(requirement: str, name: str) -> None:
    assert distribution_name(requirement) == name
