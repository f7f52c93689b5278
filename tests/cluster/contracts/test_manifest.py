import pytest
from pydantic import ValidationError

from cluster.contracts.manifest import ManifestFile


@pytest.mark.parametrize(
    "name", ["", "a/b.json", "../up.json", "/etc/up.json", "a\\b", "a\n", "a b", "é", "a" * 201]
)
def test_a_files_name_is_plain_and_has_no_folder(name: str) -> None:
    with pytest.raises(ValidationError):
        ManifestFile(name=name, bytes=1, sha256="0" * 64)


def test_names_that_transformers_and_peft_write_are_plain() -> None:
    for name in ("model-00001-of-00002.safetensors", "adapter_config.json", "resume_rank0.json"):
        ManifestFile(name=name, bytes=1, sha256="0" * 64)
