"""What a sweep asks of the database for each page of objects."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

import pytest
from sqlalchemy import Engine, event

from cluster.storage.keys import DatasetKey, FileKey
from service.db import tables
from service.db.database import Database
from service.db.ids import event_file_id, result_file_id
from service.db.reachable_objects import find_reachable
from tests.service.db.rows import add_file, add_job, add_tenants, refuse, train

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@contextmanager
def statements() -> Iterator[list[str]]:
    found: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        found.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def test_the_number_of_questions_does_not_grow_with_the_files_of_a_project(database: Database) -> None:
    add_tenants(database)
    files = [add_file(database).id for _ in range(20)]
    with database.write() as session:
        for id in files:
            session.get_one(tables.File, id).sha256 = sha256(id.encode()).hexdigest()
    reports = [DatasetKey(sha256(id.encode()).hexdigest(), is_report=True) for id in files]
    with database.read() as session:
        counts = []
        for places in ([], reports[:1], reports):
            with statements() as asked:
                assert len(find_reachable(session, places).datasets) == len(places)
            counts.append(len(asked))
    assert counts[1] == counts[2]


def test_jobs_are_looked_through_only_for_files_without_a_row(database: Database) -> None:
    add_tenants(database)
    job = add_job(database)
    train(database, job.id)
    refuse(database, job.id)
    uploaded = FileKey(job.training_file)
    results = {result_file_id(job.id), event_file_id(job.id)}
    with database.read() as session, statements() as asked:
        assert find_reachable(session, [uploaded]).contains(uploaded)
        assert not [statement for statement in asked if "FROM jobs" in statement]
        assert find_reachable(session, [uploaded, *map(FileKey, results)]).files >= results
