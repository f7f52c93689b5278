"""Buckets behind limits per minute, on both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor

from service.db import tables
from service.db.database import Database
from service.db.limits.rate_buckets import Claim, Grant, take


def taken(database: Database, *claims: Claim) -> list[Grant]:
    with database.write() as session:
        return take(session, claims)


def rewind(database: Database, bucket_id: str, seconds: float) -> None:
    """Makes the bucket as old as if this time had passed."""
    with database.write() as session:
        session.get_one(tables.RateBucket, bucket_id).filled_at -= seconds


def test_a_bucket_starts_full_and_grants_what_refills_in_a_second_at_least(database: Database) -> None:
    assert taken(database, Claim("b", 600, 1))[0] == Grant(10, 590)
    (grant,) = taken(database, Claim("b", 600, 300))
    assert grant.amount == 300
    assert 290 <= grant.level <= 590


def test_a_bucket_grants_all_or_nothing_of_several_claims(database: Database) -> None:
    assert [grant.amount for grant in taken(database, Claim("a", 6, 6), Claim("b", 6, 3))] == [6, 3]
    refused = taken(database, Claim("a", 6, 3), Claim("b", 6, 3))
    assert [grant.amount for grant in refused] == [0, 0]
    assert refused[1].level >= 3


def test_a_bucket_refills_steadily_up_to_its_limit(database: Database) -> None:
    taken(database, Claim("b", 6, 6))
    rewind(database, "b", 30)
    assert taken(database, Claim("b", 6, 5))[0].amount == 0
    assert taken(database, Claim("b", 6, 3))[0].amount == 3
    rewind(database, "b", 1e6)
    assert taken(database, Claim("b", 6, 0)) == [Grant(0, 6)]


def test_what_is_given_back_counts_first_and_debts_are_kept(database: Database) -> None:
    taken(database, Claim("b", 6, 6))
    assert taken(database, Claim("b", 6, 5, returned=5))[0].amount == 5
    taken(database, Claim("b", 6, 0, returned=-12))
    rewind(database, "b", 60)
    assert taken(database, Claim("b", 6, 1))[0].amount == 0
    rewind(database, "b", 80)
    assert taken(database, Claim("b", 6, 1))[0].amount == 1


def test_processes_never_take_more_than_the_limit_together(database: Database) -> None:
    """Twelve threads ask for two buckets in different orders; none waits for another forever."""
    barrier = threading.Barrier(12)

    def ask(place: int) -> float:
        claims = [Claim("a", 100, 7), Claim("b", 1000, 7)]
        barrier.wait(300)
        grants = taken(database, *(claims if place % 2 else reversed(claims)))
        return min(grant.amount for grant in grants)

    with ThreadPoolExecutor(12) as pool:
        amounts = list(pool.map(ask, range(12)))
    assert sorted(amounts) == [7] * 12
    assert 16 <= taken(database, Claim("a", 100, 0))[0].level <= 100
