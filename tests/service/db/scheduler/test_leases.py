import threading

import pytest
from sqlalchemy import update

from service.db import tables
from service.db.database import Database
from service.db.scheduler.leases import LeaseLost, Leases


def _acquire(database: Database, holder: str, seconds: float = 60) -> int | None:
    with database.write() as session:
        return Leases(session).acquire("scheduler", holder, seconds=seconds)


def _expire(database: Database) -> None:
    with database.write() as session:
        session.execute(update(tables.Lease).values(expires_at=1.0))


def test_a_lease_has_one_holder_that_may_renew_it(database: Database) -> None:
    epoch = _acquire(database, "a")
    assert epoch is not None
    assert _acquire(database, "b") is None
    assert _acquire(database, "a") == epoch


def test_every_new_tenure_has_a_higher_epoch(database: Database) -> None:
    first = _acquire(database, "a")
    _expire(database)
    second = _acquire(database, "b")
    _expire(database)
    third = _acquire(database, "b")
    assert first < second < third


def test_an_old_epoch_cannot_act(database: Database) -> None:
    old = _acquire(database, "a")
    _expire(database)
    with pytest.raises(LeaseLost), database.write() as session:
        Leases(session).require("scheduler", old)
    new = _acquire(database, "b")
    with pytest.raises(LeaseLost), database.write() as session:
        Leases(session).require("scheduler", old)
    with database.write() as session:
        Leases(session).require("scheduler", new)


def test_a_lease_is_renewed_only_by_its_own_epoch_and_only_in_time(database: Database) -> None:
    epoch = _acquire(database, "a", seconds=0.0)
    with database.write() as session:
        Leases(session).renew("scheduler", epoch, seconds=60)
    assert _acquire(database, "b", seconds=60) == epoch + 1, "it had expired"
    with database.write() as session:
        Leases(session).renew("scheduler", epoch, seconds=-60)
        Leases(session).require("scheduler", epoch + 1)
        Leases(session).renew("scheduler", epoch + 1, seconds=-60)
        assert not Leases(session).is_held("scheduler")


def test_a_released_lease_is_free_at_once_but_only_its_holder_releases_it(database: Database) -> None:
    old = _acquire(database, "a")
    _expire(database)
    new = _acquire(database, "b")
    with database.write() as session:
        Leases(session).release("scheduler", old)
    assert _acquire(database, "c") is None
    with database.write() as session:
        Leases(session).release("scheduler", new)
    assert _acquire(database, "c") is not None


def test_only_one_of_many_concurrent_requests_gets_the_lease(database: Database) -> None:
    got, start = [], threading.Barrier(6)

    def ask(holder: str) -> None:
        start.wait()
        got.append(_acquire(database, holder))

    threads = [threading.Thread(target=ask, args=(f"h{number}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([epoch for epoch in got if epoch is not None]) == 1
