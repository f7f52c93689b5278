"""Uploads, through the unmodified openai SDK."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.api import LiveApi, jsonl
from tests.databases import on_both_databases

MIB = 2**20
on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def client(live: LiveApi) -> OpenAI:
    return live.openai()


def test_a_file_sent_in_parts_trains_like_one_sent_whole(client: OpenAI) -> None:
    content = jsonl(40)
    upload = client.uploads.create(
        bytes=len(content),
        filename="träin.jsonl",
        mime_type="application/jsonl",
        purpose="fine-tune",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert upload.id.startswith("upload_")
    assert (upload.object, upload.status, upload.file) == ("upload", "pending", None)
    assert (upload.bytes, upload.filename, upload.purpose) == (len(content), "träin.jsonl", "fine-tune")
    assert upload.expires_at == upload.created_at + 3600
    # Sent last to first, and cut in the middle of lines.
    pieces = [content[start : start + 777] for start in range(0, len(content), 777)]
    parts = [client.uploads.parts.create(upload.id, data=piece) for piece in reversed(pieces)]
    assert {(part.object, part.upload_id) for part in parts} == {("upload.part", upload.id)}
    part_ids = [part.id for part in reversed(parts)]
    done = client.uploads.complete(
        upload.id, part_ids=part_ids, md5=hashlib.md5(content, usedforsecurity=False).hexdigest()
    )
    assert done.status == "completed"
    assert done.file is not None
    assert (done.file.status, done.file.bytes, done.file.filename) == (
        "processed",
        len(content),
        "träin.jsonl",
    )
    assert done.file.expires_at == done.file.created_at + 3600
    assert client.files.retrieve(done.file.id) == done.file
    assert client.files.content(done.file.id).read() == content
    assert client.fine_tuning.jobs.create(model="base-1", training_file=done.file.id).status
    assert client.uploads.complete(upload.id, part_ids=part_ids) == done


@on_both_databases
def test_parts_of_many_uploads_arrive_in_parallel_and_in_any_order(client: OpenAI) -> None:
    random = Random(7)
    contents = [random.randbytes(3 * MIB + number) for number in range(4)]
    uploads = [
        client.uploads.create(
            bytes=len(content), filename="a.bin", mime_type="application/octet-stream", purpose="user_data"
        )
        for content in contents
    ]
    tasks = [
        (number, start) for number, content in enumerate(contents) for start in range(0, len(content), MIB)
    ]
    random.shuffle(tasks)

    def send(task: tuple[int, int]) -> str:
        number, start = task
        return client.uploads.parts.create(uploads[number].id, data=contents[number][start : start + MIB]).id

    with ThreadPoolExecutor(16) as pool:
        part_ids = dict(zip(tasks, pool.map(send, tasks), strict=True))
    for number, content in enumerate(contents):
        order = [part_ids[task] for task in sorted(tasks) if task[0] == number]
        done = client.uploads.complete(uploads[number].id, part_ids=order)
        assert done.file is not None
        assert client.files.content(done.file.id).read() == content


@on_sqlite
def test_the_sdks_own_chunked_upload_works(client: OpenAI, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(jsonl(500))
    done = client.uploads.upload_file_chunked(
        file=path, mime_type="application/jsonl", purpose="fine-tune", part_size=10_000
    )
    assert done.file is not None
    assert (done.status, done.file.status, done.file.filename) == ("completed", "processed", "train.jsonl")
    assert client.files.content(done.file.id).read() == path.read_bytes()
    empty = client.uploads.upload_file_chunked(
        file=b"", filename="e.txt", bytes=0, mime_type="text/plain", purpose="user_data"
    )
    assert empty.file is not None
    assert empty.file.bytes == 0


@on_sqlite
@pytest.mark.anyio
async def test_the_asynchronous_sdk_works(live: LiveApi, tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes(jsonl(500))
    client = AsyncOpenAI(base_url=f"{live.url}/v1", api_key=live.project.key)
    done = await client.uploads.upload_file_chunked(
        file=path, mime_type="application/jsonl", purpose="fine-tune", part_size=10_000
    )
    assert done.file is not None
    assert done.file.status == "processed"
    upload = await client.uploads.create(
        bytes=1, filename="a.txt", mime_type="text/plain", purpose="user_data"
    )
    assert (await client.uploads.cancel(upload.id)).status == "cancelled"
    await client.close()


@on_sqlite
def test_invalid_training_lines_make_a_file_with_an_error(client: OpenAI) -> None:
    done = client.uploads.upload_file_chunked(
        file=b"{\n", filename="a.jsonl", bytes=2, mime_type="application/jsonl", purpose="fine-tune"
    )
    assert done.file is not None
    assert (done.status, done.file.status) == ("completed", "error")


@on_sqlite
def test_an_upload_that_cannot_become_a_file_is_refused_when_it_is_created(
    client: OpenAI, subtests: pytest.Subtests
) -> None:
    good = {"bytes": 3, "filename": "a.jsonl", "mime_type": "application/jsonl", "purpose": "fine-tune"}
    for change, param in (
        ({"bytes": 8 * 2**30 + 1}, "bytes"),
        ({"bytes": -1}, "bytes"),
        ({"filename": "a.csv"}, "filename"),
        ({"filename": ""}, "filename"),
        ({"purpose": "fine-tune-results"}, "purpose"),
        ({"mime_type": ""}, "mime_type"),
        ({"expires_after": {"anchor": "created_at", "seconds": 60}}, "expires_after.seconds"),
    ):
        with subtests.test(param=param, change=change):
            with pytest.raises(openai.BadRequestError) as error:
                client.uploads.create(**good | change)  # type: ignore[arg-type]
            assert error.value.param == param


@on_sqlite
def test_parts_that_do_not_make_the_file_are_refused_by_name(
    client: OpenAI, subtests: pytest.Subtests
) -> None:
    def made() -> str:
        return client.uploads.create(
            bytes=6, filename="a.txt", mime_type="text/plain", purpose="user_data"
        ).id

    upload, another = made(), made()
    first, second = (client.uploads.parts.create(upload, data=data).id for data in (b"abc", b"def"))
    foreign = client.uploads.parts.create(another, data=b"abc").id
    for part_ids, md5, param, code, message in (
        ([first], None, "part_ids", "bytes_mismatch", "3 bytes in total"),
        ([first, first], None, "part_ids[1]", "duplicate_part", first),
        ([first, "part_none"], None, "part_ids[1]", "part_not_found", "part_none"),
        ([foreign, second], None, "part_ids[0]", "part_not_found", foreign),
        ([second, first], hashlib.md5(b"abcdef").hexdigest(), "md5", "md5_mismatch", "in their order"),
        ([first, second], "abc", "md5", "invalid_value", "string does not match pattern"),
    ):
        with subtests.test(code=code, part_ids=part_ids):
            with pytest.raises(openai.BadRequestError, match=message) as error:
                client.uploads.complete(upload, part_ids=part_ids, **({"md5": md5} if md5 else {}))
            assert (error.value.param, error.value.code) == (param, code)
    assert client.files.list().data == []
    done = client.uploads.complete(upload, part_ids=[second, first])
    assert done.file is not None
    assert client.files.content(done.file.id).read() == b"defabc"
    with pytest.raises(openai.ConflictError) as conflict:
        client.uploads.complete(upload, part_ids=[first, second])
    assert conflict.value.code == "upload_completed"
    for call in (client.uploads.cancel, lambda id: client.uploads.parts.create(id, data=b"x")):
        with pytest.raises(openai.ConflictError) as conflict:
            call(upload)
        assert conflict.value.code == "upload_completed"


@on_sqlite
def test_a_cancelled_upload_takes_no_more_parts_and_frees_those_it_has(live: LiveApi, client: OpenAI) -> None:
    upload = client.uploads.create(bytes=3, filename="a.txt", mime_type="text/plain", purpose="user_data").id
    part = client.uploads.parts.create(upload, data=b"abc").id
    assert client.uploads.cancel(upload).status == "cancelled"
    assert client.uploads.cancel(upload).status == "cancelled"
    assert list(live.state.store.list()) == []
    for call in (
        lambda: client.uploads.parts.create(upload, data=b"abc"),
        lambda: client.uploads.complete(upload, part_ids=[part]),
    ):
        with pytest.raises(openai.ConflictError) as error:
            call()
        assert error.value.code == "upload_cancelled"
    assert list(live.state.store.list()) == []


@on_sqlite
def test_parts_have_a_limit_in_size_and_in_total(live: LiveApi, client: OpenAI) -> None:
    upload = client.uploads.create(
        bytes=100 * MIB, filename="a.bin", mime_type="application/octet-stream", purpose="user_data"
    ).id
    assert client.uploads.parts.create(upload, data=bytes(64 * MIB)).id
    for size in (64 * MIB + 1, 66 * MIB):
        with pytest.raises(openai.APIStatusError) as large:
            client.uploads.parts.create(upload, data=bytes(size))
        assert (large.value.status_code, large.value.code) == (413, "request_too_large")
    small = client.uploads.create(bytes=2, filename="a.txt", mime_type="text/plain", purpose="user_data").id
    with pytest.raises(openai.BadRequestError) as error:
        client.uploads.parts.create(small, data=b"abc")
    assert (error.value.code, error.value.param) == ("upload_bytes_exceeded", "data")
    for _ in range(3):
        # As often as the SDK sends a part whose answers are lost.
        last = client.uploads.parts.create(small, data=b"ab").id
    with pytest.raises(openai.BadRequestError):
        client.uploads.parts.create(small, data=b"a")
    done = client.uploads.complete(small, part_ids=[last])
    assert done.file is not None
    assert [info.key for info in live.state.store.list() if upload not in info.key] == [
        f"files/{done.file.id}"
    ]
