"""Who may complete an upload, and when it ends."""

import pytest
from sqlalchemy import select, update

from cluster.contracts.errors import Conflict, InProgress, InvalidRequest, NotFound
from service.db import tables
from service.db.database import Database
from service.db.files.upload_completions import CLAIM_SECONDS, Claim, Completions
from service.db.files.upload_rows import Upload
from service.db.files.uploads import MAX_PARTS, Uploads, expire_uploads
from tests.service.db.rows import OTHER, TENANT, add_file, add_tenants


@pytest.fixture(autouse=True)
def _tenants(database: Database) -> None:
    add_tenants(database)


def add_upload(database: Database, *part_bytes: int, lifetime_seconds: int = 3600) -> tuple[str, list[str]]:
    """Returns the ids of an upload and of its parts."""
    with database.write() as session:
        uploads = Uploads(session, TENANT)
        upload_id = uploads.create(
            filename="a.txt",
            purpose="user_data",
            bytes=sum(part_bytes),
            lifetime_seconds=lifetime_seconds,
        ).id
        parts = [uploads.add_part(upload_id, Uploads.new_part_id(), size).id for size in part_bytes]
    return upload_id, parts


def claim(database: Database, upload_id: str, part_ids: list[str]) -> Claim:
    with database.write() as session:
        claimed = Completions(session, TENANT).claim(upload_id, part_ids)
    assert isinstance(claimed, Claim)
    return claimed


def time_passes(database: Database, seconds: float) -> None:
    row = tables.Upload
    with database.write() as session:
        session.execute(
            update(row).values(
                expires_at=row.expires_at - int(seconds),
                completer_expires_at=row.completer_expires_at - seconds,
            )
        )


def test_parts_come_in_the_order_of_the_request_with_their_sizes(database: Database) -> None:
    upload_id, (first, second) = add_upload(database, 3, 4)
    claimed = claim(database, upload_id, [second, first])
    assert [(part.id, part.bytes) for part in claimed.parts] == [(second, 4), (first, 3)]


def test_one_request_completes_an_upload_and_the_same_one_again_finds_it_completed(
    database: Database,
) -> None:
    upload_id, parts = add_upload(database, 3)
    claimed = claim(database, upload_id, parts)
    with database.write() as session, pytest.raises(InProgress):
        Completions(session, TENANT).claim(upload_id, parts)
    file_id = add_file(database).id
    with database.write() as session:
        Completions(session, TENANT).finish(claimed)
        done = Completions(session, TENANT).attach(upload_id, file_id)
    assert (done.status, done.file_id) == ("completed", file_id)
    with database.write() as session:
        assert Completions(session, TENANT).claim(upload_id, parts) == done
        assert session.scalars(select(tables.UploadPart)).all() == []
        with pytest.raises(Conflict, match="is completed"):
            Completions(session, TENANT).claim(upload_id, [])


def test_a_silent_completer_is_replaced_and_can_end_nothing_any_more(database: Database) -> None:
    upload_id, parts = add_upload(database, 3)
    lost = claim(database, upload_id, parts)
    time_passes(database, CLAIM_SECONDS / 2)
    with database.write() as session:
        assert Completions(session, TENANT).renew(lost)
    time_passes(database, CLAIM_SECONDS - 1)
    with database.write() as session, pytest.raises(InProgress):
        Completions(session, TENANT).claim(upload_id, parts)
    time_passes(database, 2)
    taken = claim(database, upload_id, parts)
    with database.write() as session:
        uploads, completions = Uploads(session, TENANT), Completions(session, TENANT)
        assert not completions.renew(lost)
        completions.give_up(lost)
        with pytest.raises(InProgress):
            completions.finish(lost)
        assert uploads.get(upload_id).status == "pending"
        assert completions.renew(taken)
        completions.finish(taken)
        assert uploads.get(upload_id).status == "completed"
    with database.write() as session, pytest.raises(Conflict, match="is completed"):
        Completions(session, TENANT).finish(lost)


def test_a_completer_that_gives_up_lets_another_try_with_other_parts(database: Database) -> None:
    upload_id, (first, second) = add_upload(database, 3, 3)
    claimed = claim(database, upload_id, [first, second])
    with database.write() as session:
        Completions(session, TENANT).give_up(claimed)
    assert claim(database, upload_id, [second, first]).owner != claimed.owner


def test_an_upload_that_is_cancelled_while_it_is_being_completed_does_not_become_a_file(
    database: Database,
) -> None:
    upload_id, parts = add_upload(database, 3)
    claimed = claim(database, upload_id, parts)
    with database.write() as session:
        assert Uploads(session, TENANT).cancel(upload_id)[1] == parts
    with database.write() as session, pytest.raises(Conflict, match="is cancelled"):
        Completions(session, TENANT).finish(claimed)


def test_time_ends_an_upload_unless_it_is_being_completed(database: Database) -> None:
    idle, idle_parts = add_upload(database, 3, lifetime_seconds=60)
    busy, busy_parts = add_upload(database, 3, lifetime_seconds=60)
    with database.write() as session:
        session.execute(update(tables.Upload).values(expires_at=tables.Upload.expires_at - 61))
        session.execute(update(tables.Upload).where(tables.Upload.id == busy).values(expires_at=2**40))
    claimed = claim(database, busy, busy_parts)
    with database.write() as session:
        session.execute(update(tables.Upload).where(tables.Upload.id == busy).values(expires_at=1))
    for _ in range(2):
        with database.write() as session:
            uploads = Uploads(session, TENANT)
            assert (uploads.get(idle).status, uploads.get(busy).status) == ("expired", "pending")
            for call in (
                lambda session=session: Completions(session, TENANT).claim(idle, idle_parts),
                lambda uploads=uploads: uploads.add_part(idle, "part_x", 1),
                lambda uploads=uploads: uploads.cancel(idle),
            ):
                with pytest.raises(Conflict) as error:
                    call()
                assert error.value.code == "upload_expired"
            expire_uploads(session)
    with database.write() as session:
        assert [part.id for part in session.scalars(select(tables.UploadPart))] == busy_parts
        assert Completions(session, TENANT).renew(claimed)


def test_parts_are_limited_in_number(database: Database) -> None:
    upload_id, _ = add_upload(database, 3)
    with database.write() as session:
        rows = (
            tables.UploadPart(id=f"part_{number}", upload_id=upload_id, bytes=0, created_at=1)
            for number in range(MAX_PARTS - 1)
        )
        session.add_all(rows)
    with database.write() as session, pytest.raises(InvalidRequest) as error:
        Uploads(session, TENANT).add_part(upload_id, "part_last", 0)
    assert error.value.code == "too_many_parts"


def test_another_projects_upload_is_absent(database: Database) -> None:
    upload_id, parts = add_upload(database, 3)
    with database.write() as session:
        others = Uploads(session, OTHER)
        for call in (
            lambda: others.get(upload_id),
            lambda: others.add_part(upload_id, "part_x", 1),
            lambda: Completions(session, OTHER).claim(upload_id, parts),
            lambda: others.cancel(upload_id),
        ):
            with pytest.raises(NotFound):
                call()
    with database.read() as session:
        assert isinstance(Uploads(session, TENANT).get(upload_id), Upload)
