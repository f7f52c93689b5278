"""Objects that the store encrypts with one of its keys: on moto, which has keys, and on stores without."""

from pathlib import Path
from uuid import uuid4

import pytest
from boto3.s3.transfer import TransferConfig

from cluster.contracts.errors import InvalidConfiguration, NotFound
from cluster.storage import s3
from cluster.storage.local import LocalStore
from cluster.storage.s3 import S3Store
from tests.s3_servers import S3Endpoint, client_of

pytestmark = pytest.mark.slow

MIB = 1 << 20
KEY = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
OTHER_KEY = "arn:aws:kms:eu-central-1:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321"
PREFIX = uuid4().hex


def opened(endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    for name, value in endpoint.environment.items():
        monkeypatch.setenv(name, value)
    return S3Store(endpoint.bucket, prefix=PREFIX, endpoint_url=endpoint.url, part_bytes=5 * MIB)


@pytest.fixture
def store(moto_endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    return opened(moto_endpoint, monkeypatch)


def encryption_of(endpoint: S3Endpoint, key: str) -> tuple[str | None, str | None]:
    head = client_of(endpoint).head_object(Bucket=endpoint.bucket, Key=f"{PREFIX}/{key}")
    return head.get("ServerSideEncryption"), head.get("SSEKMSKeyId")


def test_every_way_to_write_names_the_key(store: S3Store, moto_endpoint: S3Endpoint, tmp_path: Path) -> None:
    bound = store.encrypted_with(KEY)
    small, large = b"x" * 100, b"y" * (12 * MIB)
    for name, content in (("small", small), ("large", large)):
        bound.put(f"put/{name}", content)
        (tmp_path / name).write_bytes(content)
        bound.upload(f"upload/{name}", tmp_path / name)
    assert bound.join("joined", {"put/large": len(large), "put/small": len(small)})
    keys = [info.key for info in store.list()]
    assert len(keys) == 5
    assert {encryption_of(moto_endpoint, key) for key in keys} == {("aws:kms", KEY)}
    assert store.get("joined") == large + small


def test_an_object_is_joined_under_the_key_of_the_one_that_joins_it(
    store: S3Store, moto_endpoint: S3Endpoint
) -> None:
    store.put("plain", b"x" * (5 * MIB))
    store.encrypted_with(OTHER_KEY).put("others", b"y")
    assert store.encrypted_with(KEY).join("joined", {"plain": 5 * MIB, "others": 1})
    assert encryption_of(moto_endpoint, "joined") == ("aws:kms", KEY)


def test_without_a_key_no_request_asks_for_encryption(store: S3Store, moto_endpoint: S3Endpoint) -> None:
    for bound in (store, store.encrypted_with(None), store.encrypted_with(KEY).encrypted_with(None)):
        bound.put("small", b"x")
        bound.put("large", b"x" * (6 * MIB))
        assert bound.join("joined", {"large": 6 * MIB, "small": 1})
        assert {encryption_of(moto_endpoint, key)[1] for key in ("small", "large", "joined")} == {None}


def test_a_key_binds_the_one_store_and_not_the_other(store: S3Store) -> None:
    assert store.encrypted_with(KEY).encryption_key == KEY
    assert store.encryption_key is None


def test_a_store_that_ignores_the_key_is_found_out(
    s3_endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(s3_endpoint, monkeypatch)
    store.put("source", b"x" * (6 * MIB))
    bound = store.encrypted_with(KEY)
    for write in (
        lambda: bound.put("small", b"x"),
        lambda: bound.put("large", b"x" * (6 * MIB)),
        lambda: bound.join("joined", {"source": 6 * MIB}),
    ):
        with pytest.raises(InvalidConfiguration, match="does not encrypt it") as refused:
            write()
        assert refused.value.code == "encryption_unsupported"
    assert not list(store.unfinished())
    assert not {"large", "joined"} & {info.key for info in store.list()}


@pytest.mark.parametrize("new_key", [OTHER_KEY, None])
def test_an_object_gets_another_key_where_it_is(
    store: S3Store, moto_endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch, new_key: str | None
) -> None:
    monkeypatch.setattr(
        s3, "_COPIED", TransferConfig(multipart_threshold=6 * MIB, multipart_chunksize=5 * MIB)
    )
    contents = {"small": b"x", "large": b"y" * (11 * MIB)}
    for name, content in contents.items():
        store.encrypted_with(KEY).put(name, content)
        assert store.encryption_key_of(name) == KEY
        store.encrypted_with(new_key).reencrypt(name)
        assert (store.encryption_key_of(name), store.get(name)) == (new_key, content)
    assert not list(store.unfinished())
    with pytest.raises(NotFound):
        store.encryption_key_of("absent")
    with pytest.raises(NotFound):
        store.reencrypt("absent")


def test_a_folder_has_no_keys(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put("name", b"x")
    assert store.encryption_key_of("name") is None
    with pytest.raises(InvalidConfiguration):
        store.reencrypt("name")
    assert store.encrypted_with(None) is store
    with pytest.raises(InvalidConfiguration) as refused:
        store.encrypted_with(KEY)
    assert refused.value.code == "encryption_unsupported"
