"""Stored files are compiled once, and checked without being trained on."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from safetensors.torch import load_file, save_file

from cluster.bases.resolve import base_folder
from cluster.contracts.bases import BaseSpec, FolderSource
from cluster.contracts.datasets import DatasetCheck, DatasetCheckRequest
from cluster.contracts.errors import (
    MODEL_NOT_AVAILABLE,
    CorruptArtefact,
    InvalidConfiguration,
    InvalidDataset,
    InvalidRequest,
    NotFound,
    Unavailable,
)
from cluster.contracts.hyperparameters import OnOverlength, TrainingOptions
from cluster.storage.local import LocalStore
from cluster.training.data.compiled import check_dataset, compiled_dataset
from cluster.training.data.dataset import Dataset
from tests.chat_templates import PLAIN_LINES
from tests.cluster.training.data.test_dataset import same
from tests.families import make_family
from tests.tiny_base import make_tiny_base

pytestmark = pytest.mark.slow

Rows = list[dict[str, Any]]
Check = Callable[..., DatasetCheck]
Put = Callable[[str, Rows], tuple[str, str]]


def chat(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


LONG_ANSWER = chat("hi", "x" * 300)
LONG_QUESTION = chat("x" * 300, "hi")
PREFERENCE = {
    "input": {"messages": [{"role": "user", "content": "hi"}]},
    "preferred_output": [{"role": "assistant", "content": "a"}],
    "non_preferred_output": [{"role": "assistant", "content": "b"}],
}
TEXTS = [{"text": f"text {number}", "label": "ab"[number % 2]} for number in range(4)]


@pytest.fixture
def check(base: BaseSpec, store: LocalStore, put_rows: Put) -> Check:
    def check(rows: Rows, on_overlength: OnOverlength = "error", **more: Any) -> DatasetCheck:
        key, sha256 = put_rows("file-check", rows)
        request = DatasetCheckRequest(
            **{"base": base, "key": key, "sha256": sha256, "on_overlength": on_overlength} | more
        )
        return check_dataset(request, store)

    return check


@pytest.fixture
def compiled(base: BaseSpec, store: LocalStore, put_rows: Put, tmp_path: Path) -> Callable[..., Dataset]:
    def compiled(
        rows: Rows, policy: OnOverlength = "error", *, is_gone: bool = False, **more: Any
    ) -> Dataset:
        """With `is_gone`, there is no file that could be compiled again."""
        key, sha256 = put_rows("file-check", rows)
        if is_gone:
            store.delete(key)
        options: dict[str, Any] = {"base": base, "method": "supervised", "max_length": 256} | more
        return compiled_dataset(store, key=key, sha256=sha256, policy=policy, folder=tmp_path, **options)

    return compiled


def kept(store: LocalStore) -> list[str]:
    return [info.key for info in store.list("datasets/")]


def test_counts_are_those_of_the_rendered_examples(check: Check) -> None:
    found = check([chat("hi", "ok!"), chat("hi", "ok")])
    assert (found.n_examples, found.n_tokens, found.n_supervised_tokens, found.longest) == (2, 17, 7, 9)
    assert found.format == "chat"
    assert not found.problems


def test_long_examples_are_problems_with_their_lines_unless_a_policy_allows_them(check: Check) -> None:
    found = check([chat("hi", "ok"), LONG_ANSWER, chat("hi", "ok"), LONG_QUESTION])
    assert [(problem.line, problem.code) for problem in found.problems] == [(2, "too_long"), (4, "too_long")]
    assert "256" in found.problems[0].message


@pytest.mark.parametrize(("policy", "n_kept"), [("drop", 2), ("truncate", 3)])
def test_policies_are_counted_and_truncation_keeps_no_example_without_labels(
    check: Check, policy: OnOverlength, n_kept: int
) -> None:
    assert policy in get_args(OnOverlength)
    rows = [chat("hi", "ok"), LONG_ANSWER, chat("hi", "ok"), LONG_QUESTION]
    first, again = check(rows, policy), check(rows, policy)
    assert first == again
    assert not first.problems
    assert first.n_examples == n_kept
    dropped = [4] if policy == "truncate" else [2, 4]
    assert (first.dropped_lines, first.n_dropped) == (dropped, len(dropped))
    assert first.truncated_lines == ([2] if policy == "truncate" else [])
    assert first.n_truncated == len(first.truncated_lines)
    assert first.longest == 306


def test_a_file_without_remaining_examples_cannot_be_used(check: Check, store: LocalStore) -> None:
    found = check([LONG_QUESTION], "truncate")
    assert [(problem.line, problem.code) for problem in found.problems] == [(0, "nothing_to_learn")]
    assert kept(store) == []


def test_a_broken_line_is_named(check: Check) -> None:
    found = check([chat("hi", "ok"), {"messages": [{"role": "nobody", "content": "x"}]}])
    assert [(problem.line, problem.code) for problem in found.problems] == [(2, "unknown_role")]
    assert [(problem.line, problem.code) for problem in check([PREFERENCE]).problems] == [(1, "wrong_format")]
    assert check([PREFERENCE], method="dpo").format == "preference"


def test_classes_are_sorted_and_must_be_known_ones_if_given(
    check: Check, tmp_path_factory: pytest.TempPathFactory
) -> None:
    encoder = make_family("bert", tmp_path_factory.mktemp("bert"))
    found = check(TEXTS, base=encoder)
    assert (found.format, found.class_names, found.n_supervised_tokens) == ("classification", ["a", "b"], 4)
    other = check(TEXTS, base=encoder, class_names=["a", "c"])
    assert [(problem.line, problem.code) for problem in other.problems] == [
        (2, "unknown_label"),
        (4, "unknown_label"),
    ]


def test_other_bytes_than_those_checked_in_are_refused(base: BaseSpec, store: LocalStore) -> None:
    store.put("files/file-other", b"{}")
    with pytest.raises(CorruptArtefact):
        check_dataset(DatasetCheckRequest(base=base, key="files/file-other", sha256="0" * 64), store)


def test_a_check_verifies_the_layers_that_a_job_names(base: BaseSpec, store: LocalStore) -> None:
    store.put("files/file-layers", b'{"prompt": "a", "completion": "b"}')
    sha256 = hashlib.sha256(b'{"prompt": "a", "completion": "b"}').hexdigest()

    def check_layers(*names: str) -> None:
        training = TrainingOptions(target_modules=list(names))
        request = DatasetCheckRequest(base=base, key="files/file-layers", sha256=sha256, training=training)
        assert check_dataset(request, store).n_examples == 1

    check_layers("q_proj")
    with pytest.raises(InvalidRequest) as refused:
        check_layers("q_proj", "embed_tokens")
    assert refused.value.param == "training.target_modules"
    assert "it has down_proj" in refused.value.message


def test_a_check_finds_that_the_base_lacks_weights_before_a_job_begins(
    check: Check, base: BaseSpec, tmp_path: Path
) -> None:
    folder = tmp_path / "broken"
    shutil.copytree(base_folder(base), folder)
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, folder / "model.safetensors")
    broken = base.model_copy(update={"source": FolderSource(path=str(folder))})
    with pytest.raises(InvalidConfiguration, match=r"its files lack model\.norm\.weight") as refused:
        check([chat("hi", "ok")], base=broken, training=TrainingOptions())
    assert (refused.value.code, refused.value.param) == (MODEL_NOT_AVAILABLE, "model")


def test_a_bad_file_is_an_error_with_its_line(compiled: Callable[..., Dataset]) -> None:
    with pytest.raises(InvalidDataset, match="Line 2: 306 tokens"):
        compiled([chat("hi", "ok"), LONG_ANSWER])


@pytest.mark.parametrize(
    ("rows", "more"),
    [
        ([chat("hi", "ok"), LONG_ANSWER, LONG_QUESTION], {}),
        ([PREFERENCE] * 2, {"method": "dpo"}),
    ],
)
def test_what_a_check_compiled_is_not_compiled_again(
    check: Check,
    compiled: Callable[..., Dataset],
    store: LocalStore,
    rows: Rows,
    more: dict[str, Any],
) -> None:
    check(rows, "truncate", **more)
    (key,) = kept(store)
    first = compiled(rows, "truncate", **more)
    store.delete(key)
    fresh = compiled(rows, "truncate", **more)
    assert same(first, fresh)
    assert same(compiled(rows, "truncate", is_gone=True, **more), fresh)
    assert kept(store) == [key]


def test_classes_are_kept_too(
    compiled: Callable[..., Dataset],
    store: LocalStore,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    encoder = make_family("bert", tmp_path_factory.mktemp("bert"))
    fresh = compiled(TEXTS, base=encoder)
    assert same(compiled(TEXTS, is_gone=True, base=encoder), fresh)
    assert fresh.class_ids is not None


@pytest.mark.parametrize("spoil", [lambda body: b"no", lambda body: body[:-8], lambda body: body[:40]])
def test_a_kept_copy_that_cannot_be_read_is_replaced(
    compiled: Callable[..., Dataset], store: LocalStore, spoil: Callable[[bytes], bytes]
) -> None:
    rows = [chat("hi", "ok")] * 2
    fresh = compiled(rows)
    (key,) = kept(store)
    whole = store.get(key)
    store.put(key, spoil(whole))
    assert same(compiled(rows), fresh)
    assert store.get(key) == whole


class Full(LocalStore):
    """Refuses uploads."""

    def upload(self, key: str, path: Path, **_: Any) -> Any:
        raise Unavailable("The disk is full.")


def test_a_store_that_takes_no_copy_is_only_logged(
    base: BaseSpec, put_rows: Put, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key, sha256 = put_rows("file-check", [chat("hi", "ok")])
    request = DatasetCheckRequest(base=base, key=key, sha256=sha256)
    assert check_dataset(request, Full(tmp_path / "store")).n_examples == 1
    assert "The disk is full" in caplog.text


class Slower(LocalStore):
    """Others store the compiled file while this one compiles it."""

    def __init__(self, folder: Path, others: bytes) -> None:
        super().__init__(folder)
        self._others = others

    def download(self, key: str, path: Path, **options: Any) -> Any:
        try:
            return super().download(key, path, **options)
        except NotFound:
            self.put(key, self._others)
            raise


def test_what_others_have_compiled_meanwhile_is_not_replaced(
    base: BaseSpec, put_rows: Put, tmp_path: Path
) -> None:
    key, sha256 = put_rows("file-check", [chat("hi", "ok")])
    store = Slower(tmp_path / "store", b"of others")
    check_dataset(DatasetCheckRequest(base=base, key=key, sha256=sha256), store)
    (kept_key,) = kept(store)
    assert store.get(kept_key) == b"of others"


def test_everything_that_affects_the_result_is_part_of_the_key(
    base: BaseSpec, compiled: Callable[..., Dataset], store: LocalStore, tmp_path: Path
) -> None:
    rows = [chat("hi", "ok")] * 2
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    for file in base_folder(base).iterdir():
        (other_folder / file.name).write_bytes(file.read_bytes())
    settings = other_folder / "tokenizer_config.json"
    settings.write_text(settings.read_text() + "\n")
    other = base.model_copy(update={"source": FolderSource(path=str(other_folder))})
    for options in ({}, {"max_length": 255}, {"policy": "drop"}, {"base": other}):
        compiled(rows, **options)
        compiled(rows, **options)
    compiled([*rows, rows[0]])
    assert len(kept(store)) == 5


def test_a_deleted_file_is_not_found(base: BaseSpec, store: LocalStore) -> None:
    with pytest.raises(NotFound):
        check_dataset(DatasetCheckRequest(base=base, key="files/gone", sha256="0" * 64), store)


def test_a_template_without_an_end_of_turn_is_noted(put_rows: Put, store: LocalStore, tmp_path: Path) -> None:
    base = make_tiny_base(tmp_path / "base", chat_template=PLAIN_LINES)
    key, sha256 = put_rows("file-check", [chat("hi", "ok")])
    (note,) = check_dataset(DatasetCheckRequest(base=base, key=key, sha256=sha256), store).notes
    assert "end-of-text token <|end|> is added after the last answer" in note


def test_there_is_no_note_for_completions_or_templates_that_end_turns(check: Check) -> None:
    assert check([chat("hi", "ok")]).notes == []
    assert check([{"prompt": "a", "completion": "b"}]).notes == []


def test_a_file_that_takes_long_to_compile_shows_progress(compiled: Callable[..., Dataset]) -> None:
    """Between the bytes that are moved before and after."""
    few, many = (_beats(compiled, [chat("hi", "ho")] * rows) for rows in (1, 2000))
    assert many >= few + 7


def _beats(compiled: Callable[..., Dataset], rows: Rows) -> int:
    beats: list[int] = []
    compiled(rows, on_progress=lambda: beats.append(1))
    return len(beats)
