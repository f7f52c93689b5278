"""Every example of README.md, of the documentation and of the Python client's README runs as pasted, on a
server that README's own command starts. `test_embedded.py` runs README's on the server that it has."""

import os
import re
import shlex
from pathlib import Path

import pytest

from service.ports import free_ports
from tests.documents import RUN, blocks
from tests.e2e.pasting import clone_in, examples_of, parted, paste, run, with_our_places
from tests.e2e.server import running_with_its_own_key
from tests.families import make_family

pytestmark = pytest.mark.e2e


@pytest.mark.thorough
def test_every_example_runs_as_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = tmp_path / "bert"
    make_family("bert", encoder, context_length=512)
    examples = with_our_places(examples_of(RUN), port=free_ports(1)[0], encoder=encoder)
    # Files that `tunery up` reads when it starts are written before.
    catalogues, examples = parted(examples, "TUNERY_CATALOGUE")
    (up,), examples = parted(examples, "tunery up")
    _, examples = parted(examples, "make demo")
    monkeypatch.chdir(clone_in(tmp_path))
    for catalogue in catalogues:
        run(catalogue, monkeypatch)
    with running_with_its_own_key(shlex.split(up.text)) as tunery:
        jobs = paste(examples, tunery, monkeypatch)
        assert {job.model for job in jobs} >= {"tunery-tiny-1", "our-bert"}
    assert "copper kettle" in capsys.readouterr().out


@pytest.mark.thorough
def test_the_demo_shows_what_the_built_in_model_learned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (example,), _ = parted(blocks("README.md"), "make demo")
    monkeypatch.chdir(clone_in(tmp_path))
    shown = run(example, monkeypatch)
    exact = re.findall(r"Exact match (?:before|after): \d+/40 = (\S+)", shown)
    assert float(exact[0]) < 0.1 < float(exact[1])


def test_the_examples_use_the_key_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tunery-data").mkdir()
    (tmp_path / "tunery-data/admin.key").write_text("of the file\n")
    monkeypatch.chdir(tmp_path)
    (example,), _ = parted(blocks("README.md"), "export OPENAI_API_KEY")
    for given, expected in (("", "of the file"), ("of the environment", "of the environment")):
        monkeypatch.setenv("TUNERY_API_KEY", given)
        run(example, monkeypatch)
        assert os.environ["OPENAI_API_KEY"] == expected
