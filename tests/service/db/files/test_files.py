import pytest

from cluster.contracts.errors import Conflict, InvalidRequest, NotFound
from cluster.contracts.hyperparameters import TrainingOptions
from service.db.database import Database
from service.db.files.files import Files
from service.db.jobs.jobs import Jobs
from tests.service.db.rows import OTHER, TENANT, add_file, add_job, add_tenants


@pytest.fixture(autouse=True)
def _tenants(database: Database) -> None:
    add_tenants(database)


def test_a_file_is_uploaded_then_checked(database: Database) -> None:
    file = add_file(database)
    assert (file.status, file.n_examples) == ("uploaded", None)
    with database.write() as session:
        Files(session, TENANT).set_checked(file.id, status="processed", format="chat", n_examples=12)
    with database.read() as session:
        found = Files(session, TENANT).get(file.id)
    assert (found.status, found.format, found.n_examples) == ("processed", "chat", 12)


def test_pages_of_files_of_the_same_second_neither_repeat_nor_skip(database: Database) -> None:
    ids = [add_file(database).id for _ in range(7)]
    for order, expected in (("desc", ids[::-1]), ("asc", ids)):
        seen, after = [], None
        while True:
            with database.read() as session:
                found = Files(session, TENANT).list(after=after, limit=3, order=order)
            seen += [file.id for file in found.data]
            if not found.has_more:
                break
            after = seen[-1]
        assert seen == expected


def test_a_page_that_ends_the_list_says_so(database: Database) -> None:
    for _ in range(3):
        add_file(database)
    with database.read() as session:
        assert not Files(session, TENANT).list(limit=3).has_more
        assert Files(session, TENANT).list(limit=2).has_more


def test_a_list_continues_after_a_file_that_was_deleted_meanwhile(database: Database) -> None:
    first, second, third = (add_file(database).id for _ in range(3))
    with database.write() as session:
        Files(session, TENANT).delete(second)
    with database.read() as session:
        assert [file.id for file in Files(session, TENANT).list(after=second).data] == [first]
        assert [file.id for file in Files(session, TENANT).list().data] == [third, first]


def test_files_are_listed_by_purpose(database: Database) -> None:
    wanted = add_file(database, purpose="fine-tune-results")
    add_file(database)
    with database.read() as session:
        found = Files(session, TENANT).list(purpose="fine-tune-results")
    assert [file.id for file in found.data] == [wanted.id]


def test_a_cursor_that_never_existed_is_refused(database: Database) -> None:
    theirs = add_file(database, OTHER)
    for cursor in ("file-absent", theirs.id):
        with database.read() as session, pytest.raises(InvalidRequest) as raised:
            Files(session, TENANT).list(after=cursor)
        assert raised.value.param == "after"


def test_another_tenants_file_is_absent(database: Database) -> None:
    theirs = add_file(database, OTHER)
    with database.write() as session:
        files = Files(session, TENANT)
        assert files.list().data == []
        for call in (files.get, files.delete, lambda id: files.set_checked(id, status="error")):
            with pytest.raises(NotFound):
                call(theirs.id)
    with database.read() as session:
        assert Files(session, OTHER).get(theirs.id) == theirs


def test_a_deleted_or_expired_file_is_absent(database: Database) -> None:
    file = add_file(database)
    with database.write() as session:
        Files(session, TENANT).delete(file.id)
        with pytest.raises(NotFound):
            Files(session, TENANT).delete(file.id)
        expired = Files(session, TENANT).create(
            id="file-expired",
            filename="x",
            purpose="fine-tune",
            bytes=1,
            sha256="",
            object_key="x",
            expires_after_seconds=0,
        )
    with database.read() as session:
        for id in (file.id, expired.id):
            with pytest.raises(NotFound):
                Files(session, TENANT).get(id)


def test_a_file_cannot_be_deleted_while_a_job_needs_it(database: Database) -> None:
    training, validation, general = (add_file(database) for _ in range(3))
    options = TrainingOptions(general_file=general.id)
    job = add_job(database, file=training, validation_file=validation.id, training=options)
    for file in (training, validation, general):
        with database.write() as session, pytest.raises(Conflict):
            Files(session, TENANT).delete(file.id)
    with database.write() as session:
        Jobs(session, TENANT).cancel(job.id)
        Files(session, TENANT).delete(training.id)
