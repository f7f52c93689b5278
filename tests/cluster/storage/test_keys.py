import pytest

from cluster.contracts.errors import InvalidRequest
from cluster.storage.keys import (
    attempt_prefix,
    checked_key,
    dataset_key,
    dataset_prefix,
    file_key,
    folder_of,
    manifest_key,
    part_key,
    sibling_key,
    spec_key,
)


def test_keys_are_as_documented() -> None:
    assert file_key("file-abc") == "files/file-abc"
    assert part_key("upload_1", "part_2") == "uploads/upload_1/part_2"
    assert dataset_key("0a", "1b") == "datasets/0a/1b.safetensors"
    assert dataset_key("0a", "1b").startswith(dataset_prefix("0a"))
    assert attempt_prefix("ftjob-1", 2) == "jobs/ftjob-1/attempts/2/"
    assert spec_key("ftjob-1", 2) == "jobs/ftjob-1/attempts/2/spec.json"
    manifest = manifest_key("ftjob-1", 2, 12)
    assert manifest == "jobs/ftjob-1/attempts/2/checkpoints/step-00000012/manifest.json"
    assert sibling_key(manifest, "adapter_model.safetensors") == (
        "jobs/ftjob-1/attempts/2/checkpoints/step-00000012/adapter_model.safetensors"
    )


def test_the_folder_of_a_key_is_the_prefix_of_its_siblings() -> None:
    manifest = manifest_key("ftjob-1", 2, 12)
    assert folder_of(manifest) == "jobs/ftjob-1/attempts/2/checkpoints/step-00000012/"
    assert sibling_key(manifest, "a.safetensors").startswith(folder_of(manifest))


def test_order_of_manifest_keys_is_the_order_of_steps() -> None:
    keys = [manifest_key("j", 1, step) for step in (9, 10, 99, 100, 123_456)]
    assert keys == sorted(keys)


@pytest.mark.parametrize("identifier", ["../x", "a/b", "", "a b", "x\n", "..", "\u202e"])
def test_identifiers_cannot_change_the_folder(identifier: str) -> None:
    manifest = manifest_key("ftjob-1", 2, 12)
    for make in (
        file_key,
        lambda upload: part_key(upload, "part_1"),
        lambda part: part_key("upload_1", part),
        dataset_prefix,
        lambda job: attempt_prefix(job, 1),
        lambda job: spec_key(job, 1),
        lambda job: manifest_key(job, 1, 1),
        lambda name: sibling_key(manifest, name),
    ):
        with pytest.raises(InvalidRequest):
            make(identifier)


def test_longest_key_leaves_room_for_a_bucket_prefix() -> None:
    assert checked_key("/".join(["x" * 99] * 9))
    with pytest.raises(InvalidRequest, match="at most 900"):
        checked_key("/".join(["x" * 99] * 10))
