"""What projects keep for how long, and what nobody deletes before its time."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from cluster.contracts.errors import Conflict, InvalidRequest
from cluster.contracts.jobs import JobStatus
from cluster.storage.keys import dataset_key, report_key
from service.db import tables
from service.db.database import now
from service.db.files.files import Files
from service.db.jobs.jobs import Job
from service.db.models.aliases import Aliases
from service.db.models.models import TunedModels
from service.db.retention.due import due_figures
from service.db.retention.holds import Held, LegalHolds, held_of
from service.db.retention.rules import KINDS, RetentionRules
from service.db.retention.stored import stored_by_kind, stored_of
from service.db.retention.terms import change_organization_terms, change_terms, terms_of
from service.db.usage.usage import HOUR, UsageCounts, UsageKey, write_totals
from service.scheduling.sweeping.sweep import SweepOptions, SweepReport, sweep
from service.settings import Settings
from tests.databases import sqlite_copy
from tests.service.db.rows import OTHER, TENANT, add_file, get_job, messages, pass_days, resume_state
from tests.service.scheduling.world import World

pytestmark = pytest.mark.slow

NOTHING_IS_KEPT = RetentionRules(dict.fromkeys(KINDS, 0.0))
MONTH = 30.4375


@pytest.fixture
def long_world(sqlite_template: Path, tmp_path: Path) -> Iterator[World]:
    """For what takes hundreds of transactions: on SQLite alone."""
    world = World(sqlite_copy(sqlite_template), tmp_path / "objects")
    yield world
    world.close()


def sweep_all(world: World, rules: RetentionRules) -> SweepReport:
    options = SweepOptions(0, resume_state_seconds=0, retention=rules)
    return sweep(world.database, world.store, options, clock=lambda: time.time() + 5)


def key_id(world: World) -> str:
    with world.database.read() as session:
        return session.scalars(select(tables.ApiKey.id)).one()


def trained(world: World, **new: object) -> str:
    """The id of a job that has succeeded, with three checkpoints beside its model's."""
    file = add_file(world.database, status="processed", format="chat", n_examples=20)
    world.store.put(file.object_key, b"ten bytes.")
    job = world.job(file=file, **new)
    scheduler = world.scheduler()
    scheduler.tick()
    scheduler.tick()
    for number in range(1, 4):
        world.sync(job, [world.checkpoint(job, 10 + number, number)])
    world.train(job)
    scheduler.tick()
    assert world.status(job) is JobStatus.SUCCEEDED, world.see(job).error
    return job.id


def see(world: World, id: str) -> Job:
    return get_job(world.database, id)


def names(world: World) -> set[str]:
    with world.database.read() as session:
        return set(session.scalars(select(tables.Checkpoint.model_name)))


def files_of(world: World) -> set[str]:
    with world.database.read() as session:
        return {file.id for file in Files(session, TENANT).list().data}


def use(world: World, model: str) -> None:
    with world.database.write() as session:
        at = int(now(session)) // HOUR * HOUR
        used = UsageKey(TENANT, key_id(world), model, "completions", at, HOUR)
        write_totals(session, "api", {used: UsageCounts(requests=1)})


def test_terms_are_the_projects_or_the_organizations_or_the_servers_within_bounds(world: World) -> None:
    rules = RetentionRules({"files": 90.0, "exports": 7.0}, least={"files": 10.0}, most={"events": 365.0})
    with world.database.write() as session:
        change_organization_terms(session, rules, TENANT, {"files": 30.0, "usage": 400.0})
        change_terms(session, rules, TENANT, {"files": None})
        terms = terms_of(session, rules, TENANT.project_id)
        assert terms_of(session, rules, "proj-deleted-meanwhile")["exports"].days == 7.0
    shown = {kind: (term.days, term.set_by) for kind, term in terms.items() if term.days or kind == "files"}
    assert shown == {
        "files": (None, "project"),
        "events": (365.0, "server"),
        "usage": (400.0, "organization"),
        "exports": (7.0, "server"),
    }
    stricter = RetentionRules(least={"usage": 500.0}, most={"files": 60.0})
    assert stricter.terms({"files": None}, {"usage": 400.0})["files"].days == 60.0
    assert stricter.terms({"files": None}, {"usage": 400.0})["usage"].days == 500.0


def test_the_least_that_others_may_set_leaves_the_servers_own_terms_alone() -> None:
    assert Settings().retention.terms({}, {"usage": 30.0})["usage"].days == 400.0
    with pytest.raises(InvalidRequest, match="at least 400 days, and not for 30 days"):
        Settings().retention.check({"usage": 30.0})
    own = Settings(retention_days={"usage": 90}).retention
    assert own.terms({}, {})["usage"].days == 90.0
    capped = Settings(max_retention_days={"usage": 90}).retention
    assert capped.terms({}, {"usage": 30.0})["usage"].days == 90.0
    capped.check({"usage": 90.0})


def test_two_years_of_retention_keep_what_their_terms_say_and_every_model(long_world: World) -> None:
    """A job every four months, on a file of its own; a file and some usage every month."""
    world = long_world
    rules = RetentionRules({"files": 90, "results": 365, "events": 180, "usage": 360, "checkpoints": 60})
    jobs: dict[str, int] = {}
    for month in range(24):
        if month % 4 == 0:
            jobs[trained(world, suffix=f"month-{month}")] = month
        else:
            add_file(world.database)
        use(world, f"model-{month}")
        sweep_all(world, rules)
        with world.database.read() as session:
            stored = stored_of(session, TENANT.organization_id)
            num_models = len(TunedModels(session, TENANT).list())
            purposes = [file.purpose for file in Files(session, TENANT).list().data]
            hours = session.scalar(select(func.count()).select_from(tables.Usage))
        ages = {job: month - since for job, since in jobs.items()}
        assert num_models == len(jobs)
        assert purposes.count("fine-tune") == min(month + 1, 3)
        assert purposes.count("fine-tune-results") == sum(age < 12 for age in ages.values())
        assert hours == min(month + 1, 12)
        assert len(names(world)) == sum(3 if age < 2 else 1 for age in ages.values()), (
            "one is the model's own"
        )
        assert {job: bool(messages(world.database, job)) for job in jobs} == {
            job: age < 6 for job, age in ages.items()
        }
        assert sum(one.bytes for one in stored) == sum(info.bytes for info in world.store.list())
        pass_days(world.database, MONTH)
    with world.database.read() as session:
        entries = select(tables.AuditEntry.type, tables.AuditEntry.actor_id).where(
            tables.AuditEntry.type.in_(("file.deleted", "model.deleted", "usage.deleted"))
        )
        assert {actor for _, actor in session.execute(entries)} == {None}
        for model in TunedModels(session, TENANT).list():
            assert world.store.stat(model.adapter.manifest_key)


def test_retention_deletes_nothing_that_fifty_running_jobs_models_aliases_and_holds_need(
    long_world: World,
) -> None:
    world = long_world
    first, second, third = (trained(world, suffix=name) for name in ("one", "two", "three"))
    first_model, second_model, third_model = (see(world, id).output_model for id in (first, second, third))
    with world.database.write() as session:
        Aliases(session, TENANT).point("it@prod", f"{first_model}:ckpt-step-2", api_key_id=key_id(world))
        Aliases(session, TENANT).point("it@prod", first_model, api_key_id=key_id(world))
        LegalHolds(session, TENANT).place(third, "a lawsuit", api_key_id=key_id(world))
        start = TunedModels(session, TENANT).resolve(f"{second_model}:ckpt-step-3").adapter.manifest_key
    world.settings = world.settings.model_copy(update={"training_slots": 50})
    shared = add_file(world.database, status="processed", format="chat", n_examples=20)
    world.store.put(shared.object_key, b"ten bytes.")
    jobs = [world.job(file=shared, start_from=start if place % 2 else None) for place in range(50)]
    scheduler = world.scheduler()
    while any(world.status(job) is not JobStatus.STARTING for job in jobs):
        scheduler.tick()
    for job in jobs:
        world.sync(job, [world.checkpoint(job, 1, 1)])
    pass_days(world.database, 1)
    with world.database.write() as session:
        # A running attempt is not silent.
        session.execute(update(tables.Attempt).values(heartbeat_at=now(session)))
    report = sweep_all(world, NOTHING_IS_KEPT)
    assert report.deleted["checkpoints"] > 0
    assert report.deleted["files"] == 2, "but the shared one, and the held job's"
    assert shared.id in files_of(world)
    assert f"{first_model}:ckpt-step-2" in names(world), "a rollback leads there"
    assert f"{second_model}:ckpt-step-3" in names(world)
    assert {f"{third_model}:ckpt-step-{step}" for step in (2, 3)} <= names(world)
    assert messages(world.database, third)
    assert not messages(world.database, first)
    for job in jobs:
        assert world.store.stat(start)
        world.train(job)
    while any(world.status(job) is not JobStatus.SUCCEEDED for job in jobs):
        scheduler.tick()
    assert {first_model, second_model, third_model} < {model.id for model in world.models()}


def test_what_is_due_is_what_the_next_sweep_deletes(world: World) -> None:
    trained(world)
    use(world, "x")
    pass_days(world.database, 2)
    rules = RetentionRules({"files": 1, "results": 3, "events": 1, "usage": 1, "checkpoints": 1})
    with world.database.read() as session:
        terms = terms_of(session, rules, TENANT.project_id)
        due = {one.kind: one for one in due_figures(session, TENANT.project_id, terms, Held(), now(session))}
        later = due_figures(session, TENANT.project_id, terms, Held(), now(session) + 2 * 86_400)
    report = sweep_all(world, rules)
    assert {kind: one.count for kind, one in due.items() if one.count} == report.deleted
    assert due["files"].bytes == 10
    assert {one.kind: one.count for one in later}["results"] == 1


def test_what_is_counted_for_a_project_does_not_tell_whether_others_have_its_files(world: World) -> None:
    files = [add_file(world.database, tenant) for tenant in (TENANT, OTHER)]
    assert files[0].sha256 == files[1].sha256
    world.store.put(dataset_key(files[0].sha256, "0a"), b"compiled")
    world.store.put(report_key(files[0].sha256, "0a"), b"{}")
    for file in files:
        world.store.put(file.object_key, b"ten bytes.")
    sweep_all(world, RetentionRules())
    with world.database.read() as session:
        stored = [stored_of(session, tenant.organization_id) for tenant in (TENANT, OTHER)]
        assert stored_by_kind(session) == {"files": 20, "compiled files": 10}
    assert [[(one.kind, one.bytes) for one in found] for found in stored] == [[("files", 10)]] * 2


def test_nobody_deletes_what_is_held_until_it_is_released(world: World) -> None:
    id = trained(world)
    job = see(world, id)
    with world.database.write() as session:
        hold = LegalHolds(session, TENANT).place(id, "a lawsuit", api_key_id=key_id(world))
    deletions = (
        lambda session: Files(session, TENANT).delete(job.training_file),
        lambda session: Files(session, TENANT).delete(job.result_file),
        lambda session: TunedModels(session, TENANT).delete(job.output_model),
        lambda session: TunedModels(session, TENANT).delete(f"{job.output_model}:ckpt-step-3"),
    )
    for delete in deletions:
        with pytest.raises(Conflict) as refused, world.database.write() as session:
            delete(session)
        assert refused.value.code == "legal_hold"
        assert "lawsuit" not in refused.value.message
    before = {info.key for info in world.store.list()}
    with world.database.write() as session:
        session.execute(update(tables.File).values(expires_at=1))
    pass_days(world.database, 1000)
    sweep_all(world, NOTHING_IS_KEPT)
    kept = {info.key for info in world.store.list()}
    assert {key for key in before - kept if "spec.json" not in key and "step-00000001" not in key} == set()
    with world.database.write() as session:
        assert held_of(session, TENANT.project_id).has_job(id)
        LegalHolds(session, TENANT).release(hold.id)
    sweep_all(world, NOTHING_IS_KEPT)
    with world.database.read() as session:
        assert Files(session, TENANT).list().data == []
        assert session.scalars(select(tables.JobEvent)).all() == []
        entry = tables.AuditEntry
        told = session.scalars(select(entry.resource_id).where(entry.type == "file.deleted")).all()
        assert job.training_file in told


def test_a_held_job_that_is_cancelled_keeps_its_last_state(world: World) -> None:
    job = world.start()
    state = resume_state(job.id, 1, 1)
    world.store.put(state.manifest_key, b"{}")
    world.sync(job, [state])
    with world.database.write() as session:
        hold = LegalHolds(session, TENANT).place(job.id, "a lawsuit", api_key_id=key_id(world))
    world.cancel(job)
    sweep_all(world, NOTHING_IS_KEPT)
    assert world.store.stat(state.manifest_key)
    with world.database.write() as session:
        LegalHolds(session, TENANT).release(hold.id)
    sweep_all(world, NOTHING_IS_KEPT)
    assert state.manifest_key not in {info.key for info in world.store.list()}
