"""An installation of the released schema is upgraded while its jobs run: they go on."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command

from cluster.contracts.jobs import JobStatus
from service.db.migrating import migration_config
from tests.databases import migrate, migrated_database
from tests.service.scheduling.world import World

RELEASED = "0020"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of a database whose schema the test may change."""
    if request.param == "sqlite":
        migrate(f"sqlite:///{tmp_path / 'tunery.db'}")
        yield f"sqlite:///{tmp_path / 'tunery.db'}"
    else:
        with migrated_database(request.getfixturevalue("postgres_url")) as own:
            yield own


def test_jobs_of_the_released_schema_go_on_after_the_upgrade(url: str, tmp_path: Path) -> None:
    with closing(World(url, tmp_path / "objects")) as world:
        tuned = world.start()
        world.train(tuned)
        world.scheduler().tick()
        running, new = world.start(), world.job()
        with world.database.migrating() as connection:
            command.downgrade(migration_config(connection), RELEASED)
    migrate(url)
    with closing(World(url, tmp_path / "objects", has_tenants=True)) as upgraded:
        upgraded.ray = world.ray
        upgraded.scheduler().tick()
        assert [model.id for model in upgraded.models()] == [tuned.output_model]
        assert upgraded.status(new) is JobStatus.QUEUED
        upgraded.train(running)
        for _ in range(2):
            upgraded.scheduler().tick()
        assert upgraded.status(running) is JobStatus.SUCCEEDED
        assert len(upgraded.attempts(running)) == 1, "its attempt was not lost"
        assert upgraded.status(new) is JobStatus.STARTING
