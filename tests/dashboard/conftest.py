"""The dashboard over an application in this process that has fakes at its ports."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from cluster.storage.local import LocalStore
from service.api.app import create_app
from service.api.state import AppState
from service.db.database import Database
from service.settings import Settings
from tests.api import BASE, LiveApi, add_project, listening
from tests.dashboard.browsing import Visit, chromium, visiting
from tests.dashboard.seed import Seeded, seed
from tests.fakes import FakeEngine


@dataclass(frozen=True)
class Dashboard:
    visit: Visit
    live: LiveApi
    seeded: Seeded

    @property
    def page(self) -> Page:
        return self.visit.page

    def sign_in(self, key: str | None = None) -> None:
        self.visit.sign_in(key)

    def open(self, place: str) -> None:
        self.visit.open(place)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def seeded(
    sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[LiveApi, Seeded]]:
    folder = tmp_path_factory.mktemp("dashboard")
    shutil.copyfile(sqlite_template, folder / "tunery.db")
    settings = Settings(
        database_url="sqlite://",
        storage_url=f"file://{folder}/objects",
        organizations_may_prioritize=True,
    )
    database = Database(f"sqlite:///{folder}/tunery.db")
    state = AppState(settings, database, LocalStore(folder / "objects"), FakeEngine(), {BASE.alias: BASE})
    with listening(create_app(settings, open_state=lambda _: state)) as url:
        live = LiveApi(url, state, add_project(database))
        yield live, seed(live)


@pytest.fixture
def dashboard(browser: Browser, seeded: tuple[LiveApi, Seeded]) -> Iterator[Dashboard]:
    live, found = seeded
    with visiting(browser, live.url, live.project.key) as visit:
        yield Dashboard(visit, live, found)
