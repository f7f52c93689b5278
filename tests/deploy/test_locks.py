"""What images are built from: every package by version and hash, and no other version than the tests have."""

import re
import subprocess
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.licences import table
from tests.deploy.manifests import DEPLOY, ROOT

PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)", re.MULTILINE)
EXTRAS = {
    "service": ["service"],
    "cluster": ["cluster", "gguf", "wandb", "trackio"],
    "vllm": ["cluster", "vllm"],
}
AFFECTS_RESULTS = ("ray", "torch", "peft", "tokenizers", "safetensors")
"""vLLM wants other versions of what is not here."""


def pins(text: str) -> dict[str, str]:
    return {canonicalize_name(name): version for name, version in PIN.findall(text)}


@pytest.mark.parametrize("image", EXTRAS)
def test_a_lock_has_every_dependency_as_it_is_tested_and_with_its_hash(image: str) -> None:
    text = (DEPLOY / "docker" / f"{image}.lock").read_text()
    locked, tested = pins(text), pins((ROOT / "constraints.txt").read_text())
    if image == "vllm":
        tested = {name: tested[name] for name in AFFECTS_RESULTS}
        assert tested.items() <= locked.items()
    assert {name: version for name, version in locked.items() if tested.get(name, version) != version} == {}
    assert len(re.findall(r"^\S+==\S+ \\\n +--hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)) == len(locked)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    named = [*project["dependencies"], *(one for extra in EXTRAS[image] for one in optional[extra])]
    wanted = [Requirement(one) for one in named]
    missing = [one.name for one in wanted if canonicalize_name(one.name) not in locked]
    assert missing == [], "run make lock"
    unfit = [str(one) for one in wanted if not one.specifier.contains(locked[canonicalize_name(one.name)])]
    assert unfit == [], "run make lock"


@pytest.mark.parametrize("image", EXTRAS)
def test_an_image_takes_nothing_but_what_is_locked(image: str) -> None:
    lines = (DEPLOY / "docker" / f"Dockerfile.{image}").read_text().splitlines()
    installs = [line for line in lines if "pip install" in line]
    assert len(installs) == 2
    assert all("--no-deps" in line for line in installs)
    # pip would fetch what builds our own package, whatever its hash.
    assert "--no-build-isolation" in installs[1]
    assert "setuptools" in pins((DEPLOY / "docker" / f"{image}.lock").read_text())
    assert f"--require-hashes --no-deps --requirement {image}.lock" in installs[0]


def test_what_images_and_tests_pin_is_all_audited() -> None:
    shown = subprocess.run(
        ["make", "--dry-run", "--old-file", ".venv-audit/installed", "audit"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for pinned in ["constraints.txt", *(f"deploy/docker/{image}.lock" for image in EXTRAS)]:
        assert pinned in shown


def test_licences_are_listed_by_package() -> None:
    components = [
        {"name": "Zed", "version": "1", "licenses": [{"license": {"id": "MIT"}}]},
        {"name": "abc", "version": "2", "licenses": [{"expression": "Apache-2.0 OR BSD-3-Clause"}]},
        {"name": "old", "version": "3", "licenses": [{"license": {"name": "The whole\ntext of it"}}]},
        {"name": "bare", "version": "4"},
    ]
    assert table(components).splitlines()[2:] == [
        "| abc | 2 | Apache-2.0 OR BSD-3-Clause |",
        "| bare | 4 | unknown |",
        "| old | 3 | unknown |",
        "| Zed | 1 | MIT |",
    ]
