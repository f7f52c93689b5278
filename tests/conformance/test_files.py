"""Files, through the unmodified openai SDK."""

import gzip

import openai
import pytest
from openai import OpenAI

from tests.api import LiveApi, jsonl
from tests.databases import on_both_databases


@pytest.fixture
def client(live: LiveApi) -> OpenAI:
    return live.openai()


def test_a_file_can_be_read_from_upload_to_deletion(client: OpenAI) -> None:
    content = jsonl()
    made = client.files.create(
        file=("träin.jsonl", content),
        purpose="fine-tune",
        expires_after={"anchor": "created_at", "seconds": 3600},
    )
    assert made.id.startswith("file-")
    assert (made.object, made.bytes, made.filename) == ("file", len(content), "träin.jsonl")
    assert (made.purpose, made.status, made.status_details) == ("fine-tune", "processed", None)
    assert made.expires_at == made.created_at + 3600
    assert made._request_id
    assert client.files.wait_for_processing(made.id).status == "processed"
    assert client.files.retrieve(made.id) == made
    assert client.files.content(made.id).read() == content
    resumed = client.files.content(made.id, extra_headers={"range": "bytes=20-"})
    assert resumed.read() == content[20:]
    assert resumed.response.status_code == 206
    assert resumed.response.headers["content-range"] == f"bytes 20-{len(content) - 1}/{len(content)}"
    deleted = client.files.delete(made.id)
    assert (deleted.id, deleted.object, deleted.deleted) == (made.id, "file", True)
    for call in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            call(made.id)


@on_both_databases
def test_files_are_listed_by_page_order_and_purpose(client: OpenAI) -> None:
    made = [client.files.create(file=(f"{i}.jsonl", jsonl()), purpose="fine-tune").id for i in range(3)]
    other = client.files.create(file=("notes.txt", b"words"), purpose="user_data").id
    assert [file.id for file in client.files.list()] == [other, *made[::-1]]
    assert [file.id for file in client.files.list(limit=1, order="asc")] == [*made, other]
    assert [file.id for file in client.files.list(purpose="user_data")] == [other]
    for written_by_openai in ("assistants_output", "batch_output", "vision"):
        assert client.files.list(purpose=written_by_openai).data == []
    page = client.files.list(after=made[2], limit=1)
    assert ([file.id for file in page.data], page.has_more) == ([made[1]], True)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_broken_file_ends_in_error_and_names_the_lines_and_rules(client: OpenAI) -> None:
    content = (
        jsonl(2) + b'{"messages": []}\n{"messages": [}\n' + jsonl(1) + b'{"prompt": "a", "completion": "b"}\n'
    )
    made = client.files.create(file=("bad.jsonl", content), purpose="fine-tune")
    assert made.status == "error"
    details = (made.status_details or "").splitlines()
    assert [line.split(":")[0] for line in details] == ["Line 3", "Line 4", "Line 6"]
    assert details[1].endswith("[invalid_json]")
    assert client.files.wait_for_processing(made.id).status == "error"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_many_problems_are_counted_and_the_first_are_shown(client: OpenAI) -> None:
    made = client.files.create(file=("bad.jsonl", b"{\n" * 150), purpose="fine-tune")
    assert (made.status_details or "").splitlines()[-1] == "… and 130 more."


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_invalid_upload_is_refused(client: OpenAI, subtests: pytest.Subtests) -> None:
    refused = [
        ({"file": ("train.txt", jsonl()), "purpose": "fine-tune"}, "file", "invalid_file_format"),
        ({"file": ("train.jsonl", jsonl()), "purpose": "fun"}, "purpose", "invalid_value"),
        (
            {
                "file": ("a.jsonl", jsonl()),
                "purpose": "fine-tune",
                "expires_after": {"anchor": "created_at", "seconds": 60},
            },
            "expires_after[seconds]",
            "integer_below_min_value",
        ),
        (
            {
                "file": ("a.jsonl", b"x"),
                "purpose": "user_data",
                "extra_body": {"expires_after": {"seconds": 3600}},
            },
            "expires_after",
            "invalid_value",
        ),
        ({"file": ("n" * 256 + ".jsonl", jsonl()), "purpose": "fine-tune"}, "file", "invalid_value"),
    ]
    for arguments, param, code in refused:
        with subtests.test(param=param, code=code):
            with pytest.raises(openai.BadRequestError) as error:
                client.files.create(**arguments)
            assert (error.value.param, error.value.code) == (param, code)
    assert client.files.list().data == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_file_that_a_job_uses_cannot_be_deleted_until_the_job_has_ended(client: OpenAI) -> None:
    file = client.files.create(file=("a.jsonl", jsonl()), purpose="fine-tune").id
    job = client.fine_tuning.jobs.create(model="base-1", training_file=file)
    with pytest.raises(openai.ConflictError) as error:
        client.files.delete(file)
    assert error.value.code == "file_in_use"
    client.fine_tuning.jobs.cancel(job.id)
    assert client.files.delete(file).deleted


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_empty_file_is_reported_by_its_role_in_the_job(live: LiveApi, client: OpenAI) -> None:
    good = live.upload()
    for content in (b"", b"\n\n"):
        empty = client.files.create(file=("train.jsonl", content), purpose="fine-tune")
        assert empty.status == "error"
        assert empty.status_details == (
            "File has 0 example(s), but must have at least 1 example [invalid_n_examples]"
        )
        for files, param, message in (
            (
                {"training_file": empty.id},
                "training_file",
                "Training file has 0 example(s), but must have at least 10 examples",
            ),
            (
                {"training_file": good, "validation_file": empty.id},
                "validation_file",
                "Validation file has 0 example(s), but must have at least 1 example",
            ),
            (
                {"training_file": good, "extra_body": {"training": {"general_file": empty.id}}},
                "training.general_file",
                "General file has 0 example(s), but must have at least 1 example",
            ),
        ):
            with pytest.raises(openai.BadRequestError) as error:
                client.fine_tuning.jobs.create(**{"model": "base-1", **files})  # type: ignore[arg-type]
            assert (error.value.param, error.value.code) == (param, "invalid_n_examples")
            assert message in str(error.value)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_file_in_another_format_gets_one_sentence_however_long_it_is(client: OpenAI) -> None:
    alpaca = b'{"instruction": "Add.", "input": "2, 2", "output": "4"}\n' * 500
    for content, name in ((alpaca, "an Alpaca row"), (gzip.compress(alpaca), "compressed with gzip")):
        file = client.files.create(file=("train.jsonl", content), purpose="fine-tune")
        assert file.status == "error"
        assert file.status_details
        assert name in file.status_details
        assert "\n" not in file.status_details
        with pytest.raises(openai.BadRequestError) as error:
            client.fine_tuning.jobs.create(model="base-1", training_file=file.id)
        assert (error.value.param, error.value.code) == ("training_file", "invalid_training_file")
        assert name in str(error.value)
