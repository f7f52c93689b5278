"""Every screen, at three widths, in light and dark: whole, accessible, and without HTML from users."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

from service.db.organization.api_keys import ApiKeys
from tests.api import add_key
from tests.dashboard.conftest import Dashboard
from tests.dashboard.seed import HOSTILE, Seeded
from tests.documents import ROOT

pytestmark = pytest.mark.slow
AXE = ROOT / "clients/dashboard/node_modules/axe-core/axe.min.js"
WIDTHS = (390, 820, 1440)
SCREENSHOTS = os.environ.get("TUNERY_SCREENSHOTS")
"""A folder to write screenshots for the documentation to: `make dashboard-screenshots`."""


def places(seeded: Seeded) -> dict[str, tuple[str, str]]:
    """By screen, where it is and its heading."""
    return {
        "jobs": ("jobs", "Jobs"),
        "job": (f"job/{seeded.succeeded}", "orders"),
        "new": (f"new?like={seeded.succeeded}", "New job"),
        "compare": (
            f"compare?job={seeded.succeeded}&job={seeded.running}&job={seeded.paused}",
            "Compare runs",
        ),
        "playground": (f"playground?model=base-1&model={seeded.model}", "Playground"),
        "data": ("data", "Data"),
        "file": (f"file/{seeded.file}", "orders.jsonl"),
        "models": ("models", "Models"),
        "model": (f"model/{seeded.model}", seeded.model),
        "organization": ("organization", "Organization"),
        "cluster": ("cluster", "Cluster"),
    }


def test_every_screen_fits_three_widths_and_has_no_serious_accessibility_findings(
    dashboard: Dashboard, subtests: pytest.Subtests
) -> None:
    if not AXE.exists() and not os.environ.get("CI"):
        pytest.skip("`make test` installs axe")
    page = dashboard.page
    dashboard.sign_in(dashboard.seeded.admin_key)
    for screen, (place, heading) in places(dashboard.seeded).items():
        dashboard.open(place)
        page.get_by_role("heading", name=heading, level=1, exact=True).wait_for()
        assert "Tunery" in page.title()
        if screen == "new":
            page.get_by_role("button", name="Preview and estimate").click()
            page.get_by_text("Underlined").wait_for()
        if screen == "playground":
            page.get_by_label("Message", exact=True).fill("Where is order 7?")
            page.get_by_role("button", name="Send").click()
            page.get_by_text("All answers have arrived.").wait_for()
        for width in WIDTHS:
            _resize(dashboard, width)
            with subtests.test(screen=screen, width=width):
                assert page.evaluate("document.documentElement.scrollWidth") <= width
        for scheme, width in (("dark", 390), ("light", 1440)):
            page.emulate_media(color_scheme=scheme)
            _resize(dashboard, width)
            with subtests.test(screen=screen, scheme=scheme):
                assert serious_findings(dashboard) == []
        _keep(dashboard, screen)


def test_what_only_the_operator_sees_fits_and_is_accessible_too(dashboard: Dashboard) -> None:
    if not AXE.exists() and not os.environ.get("CI"):
        pytest.skip("`make test` installs axe")
    with dashboard.live.state.database.write() as session:
        key = ApiKeys(session).ensure_admin(None)
    dashboard.sign_in(key)
    for place, heading in (("organization", "Audit log"), ("cluster", "Maintenance")):
        dashboard.open(place)
        dashboard.page.get_by_role("heading", name=heading).wait_for()
        for width in WIDTHS:
            _resize(dashboard, width)
            assert dashboard.page.evaluate("document.documentElement.scrollWidth") <= width
        assert serious_findings(dashboard) == []


def test_on_a_phone_the_actions_of_every_row_are_in_sight(dashboard: Dashboard) -> None:
    page = dashboard.page
    dashboard.sign_in()
    _resize(dashboard, 390)
    for place, role, name in (
        ("models", "link", f"Try {dashboard.seeded.model}"),
        ("data", "button", "Delete orders.jsonl"),
    ):
        dashboard.open(place)
        box = page.get_by_role(role, name=name, exact=True).first.bounding_box()  # type: ignore[arg-type]
        assert box
        assert 0 <= box["x"] <= 390 - box["width"], place
    expect(page.get_by_role("columnheader", name="Size")).to_have_count(1)


def serious_findings(dashboard: Dashboard) -> list[str]:
    if dashboard.page.evaluate("!window.axe"):
        dashboard.page.evaluate(AXE.read_text())
    found = dashboard.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {one['nodes'][0]['html']}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical", "moderate")
    ]


def _resize(dashboard: Dashboard, width: int) -> None:
    """Waits until what is drawn fits."""
    dashboard.page.set_viewport_size({"width": width, "height": 900})
    dashboard.page.evaluate(
        "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"
    )


def _keep(dashboard: Dashboard, screen: str) -> None:
    if SCREENSHOTS and screen in ("jobs", "job", "new", "compare", "playground"):
        if screen == "job":
            dashboard.page.emulate_media(color_scheme="dark")
        if screen == "new":
            dashboard.page.get_by_role("button", name="Start the job").scroll_into_view_if_needed()
        dashboard.page.wait_for_timeout(400)
        dashboard.page.screenshot(path=Path(SCREENSHOTS) / f"dashboard-{screen}.png")
        dashboard.page.emulate_media(color_scheme="light")


def test_the_first_paint_waits_for_one_script_and_one_style(dashboard: Dashboard) -> None:
    asked: list[str] = []
    dashboard.page.on("request", lambda request: asked.append(request.url))
    dashboard.page.goto(dashboard.live.url)
    dashboard.page.get_by_label("API key").wait_for()
    assert sorted(url.rpartition(".")[2] for url in asked if "favicon" not in url) == sorted(
        ["css", "js", asked[0].rpartition(".")[2]]
    )
    assert dashboard.page.evaluate("performance.getEntriesByName('first-contentful-paint').length") == 1


def test_what_users_wrote_appears_as_text(dashboard: Dashboard) -> None:
    page = dashboard.page
    dashboard.sign_in()
    for place in (f"job/{dashboard.seeded.hostile}", "data"):
        dashboard.open(place)
        expect(page.get_by_text("<img src=x").first).to_be_visible()
        assert page.locator("img[src=x]").count() == 0
    dashboard.open(f"playground?model={HOSTILE}")
    assert page.title() == "Playground · Tunery"


def test_lists_read_their_next_page_when_the_reader_comes_to_their_end(dashboard: Dashboard) -> None:
    dashboard.sign_in()
    rows = dashboard.page.get_by_role("listitem").filter(has=dashboard.page.get_by_role("checkbox"))
    expect(rows).to_have_count(20)
    dashboard.page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(rows).to_have_count(len(list(dashboard.live.openai().fine_tuning.jobs.list(limit=100))))
    expect(dashboard.page.get_by_role("button", name="Show more")).to_have_count(0)


def test_charts_have_tables_of_the_same_numbers_and_show_attempts(dashboard: Dashboard) -> None:
    dashboard.sign_in()
    dashboard.open(f"job/{dashboard.seeded.succeeded}")
    dashboard.page.get_by_text("Loss, nats per learned token as a table").click()
    table = dashboard.page.get_by_role("region", name="Loss, nats per learned token, table")
    expect(table.get_by_role("row").nth(1)).to_contain_text("120")
    assert table.get_by_role("row").count() == 51
    expect(dashboard.page.locator("dd").filter(has_text="2").first).to_be_visible()
    expect(dashboard.page.get_by_text("Attempt 1 ended early")).to_be_visible()


def test_a_key_without_rights_sees_what_it_may_and_why_not_the_rest(dashboard: Dashboard) -> None:
    live = dashboard.live
    reader = add_key(live.state.database, live.project.tenant, frozenset({"read"}))
    dashboard.sign_in(reader)
    dashboard.open(f"job/{dashboard.seeded.running}")
    dashboard.page.get_by_role("button", name="Pause").click()
    expect(dashboard.page.get_by_role("alert")).to_contain_text("lacks the scope 'write'")
    dashboard.open("organization")
    expect(dashboard.page.get_by_text("managed with an admin key")).to_be_visible()


def test_what_is_absent_or_unknown_is_said_in_the_apis_words(dashboard: Dashboard) -> None:
    dashboard.sign_in()
    for place in ("job/ftjob-absent", "file/file-absent", "model/ft:absent"):
        dashboard.open(place)
        expect(dashboard.page.get_by_role("heading", level=1)).to_contain_text("absent")
        expect(dashboard.page.get_by_role("alert").first).to_contain_text("absent")
    dashboard.open("nowhere")
    expect(dashboard.page.get_by_role("heading", name="No such page")).to_be_visible()
