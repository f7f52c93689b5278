"""Failures of S3: failed parts, truncated responses, servers that refuse or are unreachable."""

import hashlib
import io
import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest

from cluster.contracts.errors import STORAGE_REFUSED, InsufficientStorage, NotFound, Unavailable
from cluster.storage.completion import part_of
from cluster.storage.location import open_store
from cluster.storage.s3 import S3Store
from tests.faulty_proxy import Answer, CutAfter, FaultyProxy, faulty_proxy
from tests.s3_servers import S3Endpoint, client_of, rclone_server

pytestmark = pytest.mark.slow

MIB = 1 << 20


@pytest.fixture
def proxy(moto_endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    for name, value in moto_endpoint.environment.items():
        monkeypatch.setenv(name, value)
    with faulty_proxy(moto_endpoint.url) as proxy:
        yield proxy


@pytest.fixture
def prefix() -> str:
    return uuid4().hex


@pytest.fixture
def store(proxy: FaultyProxy, moto_endpoint: S3Endpoint, prefix: str) -> S3Store:
    return S3Store(moto_endpoint.bucket, prefix=prefix, endpoint_url=proxy.url, part_bytes=5 * MIB)


def test_failed_part_raises_and_leaves_no_object(
    store: S3Store, proxy: FaultyProxy, moto_endpoint: S3Endpoint, prefix: str
) -> None:
    proxy.fault = lambda method, path: Answer(500) if "partNumber=2" in path else None
    with pytest.raises(Unavailable, match="UploadPart of 'checkpoint'"):
        store.put("checkpoint", b"x" * (12 * MIB))
    with pytest.raises(NotFound):
        store.stat("checkpoint")
    assert list(store.list()) == []
    client = client_of(moto_endpoint)
    assert "Uploads" not in client.list_multipart_uploads(Bucket=moto_endpoint.bucket, Prefix=prefix)


def test_a_full_store_is_reported_as_full(store: S3Store, proxy: FaultyProxy) -> None:
    proxy.fault = lambda method, path: Answer(507) if method == "PUT" else None
    for size in (100, 12 * MIB):
        with pytest.raises(InsufficientStorage):
            store.put("checkpoint", b"x" * size)


def test_parts_of_a_file_are_sent_in_parallel(store: S3Store, proxy: FaultyProxy, tmp_path: Path) -> None:
    together = threading.Barrier(4)

    def fault(method: str, path: str) -> None:
        if "partNumber" in path:
            together.wait(300)

    proxy.fault = fault
    source = tmp_path / "weights"
    source.write_bytes(bytes(range(256)) * (20 * MIB // 256))
    moved = []
    info = store.upload("weights", source, on_progress=lambda: moved.append(1))
    assert info.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert info.bytes == 20 * MIB
    assert len(moved) > 20
    proxy.fault = lambda method, path: None
    assert store.get("weights") == source.read_bytes()


def test_ranges_of_an_object_are_fetched_in_parallel(
    store: S3Store, proxy: FaultyProxy, tmp_path: Path
) -> None:
    content = bytes(range(256)) * (20 * MIB // 256)
    store.put("weights", content)
    together, first = threading.Barrier(3), iter([True])

    def fault(method: str, path: str) -> None:
        # The first range also tells how long the object is.
        if method == "GET" and not next(first, False):
            together.wait(300)

    proxy.fault = fault
    info = store.download("weights", tmp_path / "weights")
    assert info.sha256 == hashlib.sha256(content).hexdigest()
    assert (tmp_path / "weights").read_bytes() == content


def test_a_file_whose_part_fails_leaves_no_object_and_no_parts(
    store: S3Store, proxy: FaultyProxy, moto_endpoint: S3Endpoint, prefix: str, tmp_path: Path
) -> None:
    source = tmp_path / "weights"
    source.write_bytes(b"x" * (12 * MIB))
    proxy.fault = lambda method, path: Answer(500) if "partNumber=2" in path else None
    with pytest.raises(Unavailable, match="UploadPart of 'weights'"):
        store.upload("weights", source)
    assert list(store.list()) == []
    client = client_of(moto_endpoint)
    assert "Uploads" not in client.list_multipart_uploads(Bucket=moto_endpoint.bucket, Prefix=prefix)


def test_part_that_fails_once_is_sent_again(store: S3Store, proxy: FaultyProxy) -> None:
    failures = iter([Answer(503)])
    proxy.fault = lambda method, path: next(failures, None) if "partNumber=2" in path else None
    content = bytes(range(256)) * (12 * MIB // 256)
    store.put("checkpoint", content)
    assert store.get("checkpoint") == content
    parts = [path for _, path, _ in proxy.requests if "partNumber=2" in path]
    assert len(parts) == 2


def test_upload_that_cannot_be_completed_leaves_no_object(store: S3Store, proxy: FaultyProxy) -> None:
    proxy.fault = lambda method, path: Answer(400) if method == "POST" and "uploadId" in path else None
    with pytest.raises(Unavailable, match="CompleteMultipartUpload"):
        store.put("checkpoint", b"x" * (6 * MIB))
    assert list(store.list()) == []


@pytest.mark.parametrize("had_before", [False, True], ids=["new", "replaced"])
def test_an_upload_whose_completion_takes_too_long_is_found(
    proxy: FaultyProxy, moto_endpoint: S3Endpoint, prefix: str, tmp_path: Path, *, had_before: bool
) -> None:
    store = S3Store(
        moto_endpoint.bucket,
        prefix=prefix,
        endpoint_url=proxy.url,
        part_bytes=5 * MIB,
        read_timeout_seconds=2,
    )
    content = b"x" * (12 * MIB)
    source = tmp_path / "weights"
    source.write_bytes(content)
    beats = []
    for name in ("put", "upload"):
        if had_before:
            store.put(name, b"y" * len(content))
            # The time of a change is a whole second.
            time.sleep(1.1)
    slow = threading.Event()

    def fault(method: str, path: str) -> None:
        if method == "POST" and "uploadId" in path:
            slow.wait(9)

    proxy.fault = fault
    store.put("put", content)
    store.upload("upload", source, on_progress=lambda: beats.append(time.monotonic()))
    proxy.fault = lambda method, path: None
    assert store.get("put") == content
    assert store.get("upload") == content
    assert beats[-1] - beats[0] > 8


def test_upload_that_cannot_even_be_aborted_raises_the_first_error(
    store: S3Store, proxy: FaultyProxy
) -> None:
    proxy.fault = lambda method, path: Answer(400) if "uploadId" in path else None
    with pytest.raises(Unavailable, match="UploadPart") as caught:
        store.put("checkpoint", b"x" * (6 * MIB))
    assert any("could not be aborted" in note for note in caught.value.__cause__.__notes__)
    proxy.fault = lambda method, path: None
    assert list(store.list()) == []


def test_truncated_response_is_an_error_and_never_a_short_object(
    store: S3Store, proxy: FaultyProxy, tmp_path: Path
) -> None:
    store.put("weights", b"x" * (3 * MIB))
    proxy.fault = lambda method, path: CutAfter(2 * MIB) if method == "GET" else None
    with pytest.raises(Unavailable):
        store.get("weights")
    with pytest.raises(Unavailable):
        store.download("weights", tmp_path / "weights")
    assert list(tmp_path.iterdir()) == []


def test_an_object_that_is_replaced_while_it_is_fetched_is_unavailable(
    store: S3Store, proxy: FaultyProxy, tmp_path: Path
) -> None:
    store.put("weights", b"x" * (12 * MIB))
    first = iter([True])

    def fault(method: str, path: str) -> None:
        if method == "GET" and not next(first, False):
            store.put("weights", b"y" * (12 * MIB))

    proxy.fault = fault
    with pytest.raises(Unavailable):
        store.download("weights", tmp_path / "weights")
    assert list(tmp_path.iterdir()) == []


def test_truncated_list_is_an_error_and_never_a_short_list(store: S3Store, proxy: FaultyProxy) -> None:
    store.put("a", b"1")
    for body_bytes in (0, 1, 100, 300):
        proxy.fault = lambda method, path, cut=body_bytes: CutAfter(cut)
        with pytest.raises(Unavailable):
            list(store.list())


def test_put_to_a_failing_server_succeeds_whole_or_leaves_no_object(
    store: S3Store, proxy: FaultyProxy
) -> None:
    """Three of ten responses are errors, or are truncated after the server has acted."""
    chance = random.Random(11)
    given = []

    def fault(method: str, path: str) -> Answer | CutAfter | None:
        given.append(chance.choice([Answer(500), Answer(503), CutAfter(0), *[None] * 7]))
        return given[-1]

    proxy.fault = fault
    contents = [bytes([i]) * (6 * MIB if i % 4 == 0 else 1000) for i in range(8)]
    stored = {}
    for i, content in enumerate(contents):
        with suppress(Unavailable):
            store.put(str(i), content)
            stored[str(i)] = content
    proxy.fault = lambda method, path: None
    assert len(stored) >= 4
    assert len([fault for fault in given if fault]) >= 5
    for i, content in enumerate(contents):
        if str(i) in stored:
            assert store.get(str(i)) == content
    for info in store.list():
        assert store.get(info.key) == contents[int(info.key)]


def test_checksum_headers_are_sent_only_on_request(
    store: S3Store, proxy: FaultyProxy, moto_endpoint: S3Endpoint
) -> None:
    def checksum_headers() -> set[str]:
        names = {name.lower() for _, _, headers in proxy.requests for name in headers}
        return {name for name in names if re.match("x-amz-(sdk-checksum|checksum|trailer)", name)}

    store.put("a", b"1")
    assert checksum_headers() == set()
    asking = S3Store(moto_endpoint.bucket, endpoint_url=proxy.url, checksums="when_supported")
    asking.put(uuid4().hex, b"1")
    assert checksum_headers() != set()


def test_objects_in_parts_have_checksums_on_request(
    store: S3Store, proxy: FaultyProxy, moto_endpoint: S3Endpoint, prefix: str, tmp_path: Path
) -> None:
    opened = open_store(
        f"s3://{moto_endpoint.bucket}/{prefix}", endpoint_url=proxy.url, checksums="when_supported"
    )
    content = bytes(range(256)) * (20 * MIB // 256)
    source = tmp_path / "weights"
    source.write_bytes(content)
    opened.put("put", io.BytesIO(content))
    opened.upload("upload", source)
    assert opened.join("joined", {"put": len(content), "upload": len(content)})
    assert store.get("joined") == 2 * content
    sent = [headers for method, path, headers in proxy.requests if method == "PUT" and "partNumber" in path]
    unchecked = [
        headers
        for headers in sent
        if not any(re.match("x-amz-(checksum|trailer|copy)", name.lower()) for name in headers)
    ]
    assert unchecked == []


def test_a_part_is_completed_with_the_checksum_that_the_store_found() -> None:
    answer = {"ETag": "e", "ChecksumCRC32": "abc=", "ChecksumType": "COMPOSITE", "ServerSideEncryption": "x"}
    assert part_of(3, answer) == {"PartNumber": 3, "ETag": "e", "ChecksumCRC32": "abc="}


def test_parts_of_a_stream_of_known_size_are_equal(store: S3Store, proxy: FaultyProxy) -> None:
    """However many they are. This stream ends early."""
    content = bytes(range(256)) * (20 * MIB // 256)
    store.put_sized("weights", io.BytesIO(content), 12_000 * MIB)
    lengths = [headers["Content-Length"] for _, path, headers in proxy.requests if "partNumber" in path]
    assert lengths == [str(6 * MIB)] * 3 + [str(2 * MIB)]
    assert store.get("weights") == content


def test_a_store_that_demands_equal_parts_joins_nothing(store: S3Store, proxy: FaultyProxy) -> None:
    store.put("1", b"a" * (5 * MIB))
    store.put("2", b"b" * (6 * MIB))
    store.put("3", b"c")
    unequal = Answer(400, b"<Error><Code>InvalidPart</Code></Error>")
    proxy.fault = lambda method, path: unequal if method == "POST" and "uploadId" in path else None
    assert not store.join("whole", {"1": 5 * MIB, "2": 6 * MIB, "3": 1})
    proxy.fault = lambda method, path: None
    assert list(store.unfinished()) == []
    with pytest.raises(NotFound):
        store.stat("whole")


def refusal(prefix: str, *keys: str, code: str) -> Answer:
    """An answer to a request to delete many objects, of which these are refused."""
    errors = "".join(f"<Error><Key>{prefix}/{key}</Key><Code>{code}</Code></Error>" for key in keys)
    return Answer(200, f"<DeleteResult>{errors}</DeleteResult>".encode())


def test_objects_that_a_busy_store_did_not_delete_are_deleted_again(
    store: S3Store, proxy: FaultyProxy, prefix: str
) -> None:
    keys = [f"{number:04}" for number in range(3)]
    for key in keys:
        store.put(key, b"1")
    busy = iter([refusal(prefix, *keys, code="SlowDown"), refusal(prefix, keys[1], code="InternalError")])
    proxy.fault = lambda method, path: next(busy, None) if method == "POST" else None
    store.delete_many(keys)
    # The answer that refuses one was not the store's.
    assert [info.key for info in store.list()] == [keys[0], keys[2]]


def test_what_is_not_deleted_in_the_end_raises_after_everything_else_is(
    store: S3Store, proxy: FaultyProxy, prefix: str
) -> None:
    keys = [f"{number:04}" for number in range(1001)]
    store.put(keys[-1], b"1")
    proxy.fault = lambda method, path: next(denied, None) if method == "POST" else None
    denied = iter([refusal(prefix, keys[0], code="AccessDenied")])
    with pytest.raises(Unavailable, match=r"1 object\(s\), such as '0000': AccessDenied"):
        store.delete_many(keys)
    assert list(store.list()) == []


def test_a_busy_store_is_not_sent_a_request_for_each_object(store: S3Store, proxy: FaultyProxy) -> None:
    proxy.fault = lambda method, path: Answer(503) if method == "POST" else None
    with pytest.raises(Unavailable):
        store.delete_many(["a", "b"])
    assert {method for method, _, _ in proxy.requests} == {"POST"}


def test_a_store_that_cannot_delete_many_at_once_deletes_each(store: S3Store, proxy: FaultyProxy) -> None:
    for status, code in ((501, "NotImplemented"), (400, "MissingContentMD5")):
        store.put("a", b"1")
        lacking = Answer(status, f"<Error><Code>{code}</Code></Error>".encode())
        proxy.fault = lambda method, path, lacking=lacking: lacking if method == "POST" else None
        store.delete_many(["a", "b"])
        assert list(store.list()) == []


def test_prefix_hides_everything_outside_it(
    store: S3Store, proxy: FaultyProxy, moto_endpoint: S3Endpoint
) -> None:
    other = S3Store(moto_endpoint.bucket, prefix=uuid4().hex, endpoint_url=proxy.url)
    other.put("files/a", b"other")
    with pytest.raises(NotFound):
        store.get("files/a")
    assert list(store.list()) == []


def test_more_objects_than_a_page_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"{number:04}" for number in range(1003)]
    with rclone_server(tmp_path) as endpoint:
        for name in names:
            (tmp_path / endpoint.bucket / name).touch()
        for name, value in endpoint.environment.items():
            monkeypatch.setenv(name, value)
        store = S3Store(endpoint.bucket, endpoint_url=endpoint.url)
        assert [info.key for info in store.list()] == names


def test_wrong_secret_is_unavailable_and_not_absent(
    s3_endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_endpoint.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    store = S3Store(s3_endpoint.bucket, endpoint_url=s3_endpoint.url)
    with pytest.raises(Unavailable, match="refuses PutObject of 'a'"):
        store.put("a", b"1")
    with pytest.raises(Unavailable, match="refuses GetObject of 'a'"):
        store.get("a")


def test_missing_bucket_is_unavailable(proxy: FaultyProxy) -> None:
    store = S3Store("no-such-bucket", endpoint_url=proxy.url)
    with pytest.raises(Unavailable, match="NoSuchBucket") as refused:
        store.put("a", b"1")
    assert refused.value.code == STORAGE_REFUSED
    with pytest.raises(Unavailable, match="NoSuchBucket"):
        store.get("a")


def test_unreachable_server_is_unavailable(
    moto_endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in moto_endpoint.environment.items():
        monkeypatch.setenv(name, value)
    with faulty_proxy(moto_endpoint.url) as gone:
        pass
    store = S3Store("bucket", endpoint_url=gone.url)
    with pytest.raises(Unavailable, match="does not answer"):
        store.get("a")


def test_a_server_to_which_nothing_was_uploaded_in_parts_has_nothing_unfinished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rclone_server(tmp_path / "s3") as endpoint:
        for name, value in endpoint.environment.items():
            monkeypatch.setenv(name, value)
        store = S3Store(endpoint.bucket, endpoint_url=endpoint.url)
        store.put("a", b"whole")
        assert list(store.unfinished()) == []


def test_amazons_stores_join_objects_themselves(store: S3Store) -> None:
    first, second = b"a" * (5 * MIB), b"b"
    store.put("1", first)
    store.put("2", second)
    assert store.join("whole", {"1": len(first), "2": 1})
    assert store.get("whole") == first + second
