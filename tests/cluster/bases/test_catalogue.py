from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster.bases.catalogue import (
    PACKAGED_CATALOGUE,
    LiveCatalogue,
    add_to_catalogue,
    load_catalogue,
    remove_from_catalogue,
)
from cluster.contracts.bases import BaseSpec, BuiltinSource, FolderSource, HubSource, SamplingDefaults
from cluster.contracts.errors import InvalidConfiguration

MODEL = """
[[model]]
alias = "ours"
source = { kind = "folder", path = "/models/ours" }
context_length = 8192
learning_rates = { lora = 2e-4 }
"""


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "catalogue.toml"
        path.write_text(text)
        return path

    return write


def test_packaged_catalogue_offers_the_built_in_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TUNERY_CATALOGUE", raising=False)
    catalogue = load_catalogue()
    tiny = catalogue["tunery-tiny-1"]
    assert tiny.source == BuiltinSource(name="tiny")
    assert tiny.learning_rates == {"lora": 3e-3, "full": 1e-3}
    assert (tiny.context_length, tiny.dtype, tiny.owned_by) == (1024, "float32", "tunery")


def test_the_operators_catalogue_replaces_the_packaged_one(written, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = MODEL.replace('"ours"', '"hub"').replace(
        'kind = "folder", path = "/models/ours"',
        f'kind = "hub", repository = "a/b", revision = "{"0a" * 20}"',
    )
    monkeypatch.setenv("TUNERY_CATALOGUE", str(written(MODEL + hub)))
    catalogue = load_catalogue()
    assert list(catalogue) == ["ours", "hub"]
    assert catalogue["ours"].source == FolderSource(path="/models/ours")
    assert catalogue["hub"].source == HubSource(repository="a/b", revision="0a" * 20)
    assert list(load_catalogue(PACKAGED_CATALOGUE)) == ["tunery-tiny-1"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", r"must consist of one or more \[\[model\]\] tables"),
        ("model = 1", r"must consist of one or more \[\[model\]\] tables"),
        ("[[models]]\nalias = 'x'", r"must consist of one or more \[\[model\]\] tables"),
        ("[[model]", "not TOML: "),
        (MODEL + MODEL, "entry 2: alias 'ours' is taken by an entry before it"),
        (MODEL + MODEL.replace('"ours"', '"a/b"'), r"entry 2 \('a/b'\): alias: String should match pattern"),
        (MODEL.replace('"ours"', '"a:b"'), r"entry 1 \('a:b'\): alias: String should match pattern"),
        ("[[model]]\ncontext_length = 1", "entry 1: alias: Field required"),
        (MODEL.replace("8192", "0"), r"entry 1 \('ours'\): context_length: Input should be greater than 0"),
        (MODEL + "trust_remote_code = true", r"entry 1 \('ours'\): trust_remote_code: Extra inputs"),
        (MODEL.replace("lora", "dora"), r"entry 1 \('ours'\): learning_rates.dora"),
        (MODEL.replace('kind = "folder"', 'kind = "url"'), r"entry 1 \('ours'\): source: .*'url'"),
        (
            MODEL.replace(
                'kind = "folder", path = "/models/ours"',
                'kind = "hub", repository = "a/b", revision = "main"',
            ),
            r"entry 1 \('ours'\): source.hub.revision: String should match pattern",
        ),
    ],
)
def test_error_names_file_entry_and_field(written, text: str, problem: str) -> None:
    path = written(text)
    with pytest.raises(InvalidConfiguration, match=problem) as caught:
        load_catalogue(path)
    assert str(path) in str(caught.value)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfiguration, match=r"absent.toml: cannot be read: No such file"):
        load_catalogue(tmp_path / "absent.toml")


def test_a_running_process_follows_the_file_and_keeps_what_it_had_when_that_is_broken(
    written, caplog: pytest.LogCaptureFixture
) -> None:
    now = 0.0
    path = written(MODEL)
    live = LiveCatalogue(path, clock=lambda: now)
    written(MODEL + MODEL.replace('"ours"', '"second"'))
    assert list(live) == ["ours"], "it does not look at the file for every request"
    now = 1.0
    assert (list(live), len(live), live["second"].alias) == (["ours", "second"], 2, "second")

    for text in ("[[model]", None):
        written(text) if text else path.unlink()
        now += 1.0
        assert [spec.alias for spec in live.values()] == ["ours", "second"]
        assert f"Catalogue {path}: " in caplog.text
        caplog.clear()
        now += 1.0
        assert list(live)
        assert not caplog.text, "a broken file is reported once"

    written(MODEL)
    now += 1.0
    assert [alias for alias, _ in live.items()] == ["ours"]


def test_a_model_is_added_without_touching_the_rest_of_the_file(written) -> None:
    path = written("# Ours.\n" + MODEL)
    path.chmod(0o640)
    hub = BaseSpec(
        alias="hub-model",
        source=HubSource(repository='owner/Näme "x"', revision="0a" * 20),
        context_length=32768,
        learning_rates={"lora": 2e-4, "full": 2e-5},
        dtype="bfloat16",
        sampling=SamplingDefaults(temperature=0.7, top_k=20),
        owned_by="owner",
    )
    folder = hub.model_copy(update={"alias": "b", "source": FolderSource(path="/models/b")})
    for spec in (hub, folder):
        add_to_catalogue(path, spec)
    assert list(load_catalogue(path).values())[1:] == [hub, folder]
    assert path.read_text().startswith("# Ours.\n" + MODEL.rstrip())
    assert path.stat().st_mode & 0o777 == 0o640
    before = path.read_text()
    with pytest.raises(InvalidConfiguration, match=f"Catalogue {path}: entry 4: alias 'b' is taken"):
        add_to_catalogue(path, folder)
    assert path.read_text() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_changes_at_the_same_time_are_all_kept(written) -> None:
    path = written(MODEL)
    specs = [load_catalogue(path)["ours"].model_copy(update={"alias": f"m{number}"}) for number in range(24)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda spec: add_to_catalogue(path, spec), specs))
        assert load_catalogue(path).keys() == {"ours", *(spec.alias for spec in specs)}
        list(threads.map(lambda spec: remove_from_catalogue(path, spec.alias), specs))
    assert list(load_catalogue(path)) == ["ours"]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_removing_a_model_leaves_all_other_text_alone(written) -> None:
    second = MODEL.replace('"ours"', '"second"').replace("[[model]]", "[[ model ]] # the newer one")
    path = written(f"# Ours.\n{MODEL}\n# Kept.\n{second}")
    remove_from_catalogue(path, "second")
    assert path.read_text() == f"# Ours.\n{MODEL}\n# Kept.\n\n"
    with pytest.raises(InvalidConfiguration, match="'ours' is its only model"):
        remove_from_catalogue(path, "ours")


def test_a_catalogue_that_only_looks_like_tables_is_not_torn_apart(written) -> None:
    tricky = MODEL.replace('alias = "ours"', 'alias = "ours"\nowned_by = """\n[[model]]\n"""')
    text = tricky + MODEL.replace('"ours"', '"second"')
    path = written(text)
    with pytest.raises(InvalidConfiguration):
        remove_from_catalogue(path, "second")
    assert path.read_text() == text
