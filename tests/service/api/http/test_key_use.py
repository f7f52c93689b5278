"""When a key was last used is noted without a write for each request."""

from contextlib import AbstractContextManager

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from cluster.contracts.errors import Unavailable
from service.api.http.key_use import ACCURACY_SECONDS, KeyUse
from service.api.state import AppState
from service.db.database import Database
from service.db.organization.api_keys import ApiKeys
from service.db.organization.key_sets import KeySet
from tests.api import Project


def test_a_request_marks_its_key_as_used_and_a_refused_one_marks_none(
    state: AppState, project: Project, http: TestClient
) -> None:
    def last_used() -> list[int | None]:
        with state.database.read() as session:
            return [key.last_used_at for key in KeySet.of_project(session, project.tenant).page(limit=9).data]

    def flush() -> None:
        assert http.portal is not None
        use: KeyUse = http.app.state.key_use  # type: ignore[attr-defined]
        http.portal.call(use.flush)

    assert last_used() == [None]
    http.get("/v1/models", headers={"openai-project": "proj-other"})
    flush()
    assert last_used() == [None]
    http.get("/v1/models")
    flush()
    assert None not in last_used()


class Writes:
    """The database, with a count of its writes. The first `failing` of them fail."""

    def __init__(self, database: Database, *, failing: int = 0) -> None:
        self._database = database
        self._failing = failing
        self.count = 0

    def write(self) -> AbstractContextManager[Session]:
        self.count += 1
        if self.count <= self._failing:
            raise Unavailable("The database does not answer.")
        return self._database.write()


@pytest.mark.anyio
async def test_a_key_in_steady_use_is_written_once_a_minute(database: Database, project: Project) -> None:
    now, writes = [100.0], Writes(database)
    use = KeyUse(writes, clock=lambda: now[0])
    for now[0], ids, expected in (
        (100.0, "ab", 1),
        (100.0 + ACCURACY_SECONDS - 1, "ab", 1),
        (100.0 + ACCURACY_SECONDS - 1, "c", 2),
        (100.0 + ACCURACY_SECONDS, "a", 3),
        (100.0 + ACCURACY_SECONDS, "", 3),
    ):
        for id in ids * 3:
            use.note(id)
        await use.flush()
        assert writes.count == expected


@pytest.mark.anyio
async def test_what_could_not_be_written_is_written_later(database: Database, project: Project) -> None:
    with database.read() as session:
        key_id = ApiKeys(session).authenticate(project.key).key_id
    use = KeyUse(Writes(database, failing=1))
    use.note(key_id)
    with pytest.raises(Unavailable):
        await use.flush()
    await use.flush()
    with database.read() as session:
        assert KeySet.of_project(session, project.tenant).get(key_id).last_used_at is not None
