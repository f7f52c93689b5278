"""What people come for, from signing in to asking a tuned model, with a mouse or with the keyboard alone."""

import ast
import io
import json
import re
import shlex
import subprocess
from collections import Counter
from typing import Any

import openai
import pytest
from playwright.sync_api import Page, Route, expect

from cluster.contracts.datasets import MIN_TRAINING_EXAMPLES
from cluster.contracts.jsonl import check_jsonl
from cluster.data_checks.check import check_data
from service.db import tables
from service.db.maintenance import current_maintenance
from service.db.organization.api_keys import ApiKeys
from service.db.scheduler.pool_limits import pool_limits
from tests.dashboard.conftest import Dashboard
from tests.dashboard.seed import EXAMPLES, STEPS, make_elastic, take_steps
from tests.service.cli.running import run_tunery

pytestmark = pytest.mark.slow


def tab_to(page: Page, role: str, name: str) -> None:
    """Presses Tab until the control has the focus, which must be visible."""
    target = page.get_by_role(role, name=name, exact=True).first  # type: ignore[arg-type]
    target.wait_for()
    for _ in range(120):
        page.keyboard.press("Tab")
        if target.evaluate("element => element === document.activeElement"):
            outline = target.evaluate("element => getComputedStyle(element).outlineStyle")
            assert outline != "none", f"the focus on {name} cannot be seen"
            return
    raise AssertionError(f"the keyboard does not reach the {role} {name}")


def test_the_key_stays_in_the_tab_and_out_of_urls_cookies_and_lasting_storage(dashboard: Dashboard) -> None:
    page, key = dashboard.page, dashboard.live.project.key
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.goto(dashboard.live.url)
    page.get_by_label("API key").fill("tk-wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Incorrect API key")
    dashboard.sign_in()
    page.reload()
    page.get_by_role("heading", name="Jobs", level=1).wait_for()
    assert all(key not in url for url in [*urls, page.url])
    assert page.context.cookies() == []
    assert key not in page.evaluate("JSON.stringify({...localStorage})")
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("API key").wait_for()
    assert key not in page.evaluate("JSON.stringify({...sessionStorage})")
    assert key not in page.content()
    page.get_by_label("Keep the key until this tab is closed").uncheck()
    page.get_by_label("API key").fill(key)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Jobs", level=1).wait_for()
    assert key not in page.evaluate("JSON.stringify({...sessionStorage, ...localStorage})")


def test_a_revoked_key_signs_out_and_says_why(dashboard: Dashboard) -> None:
    live, page = dashboard.live, dashboard.page
    dashboard.sign_in()
    page.route(
        "**/v1/fine_tuning/jobs?*", lambda route: route.continue_(headers={"authorization": "Bearer x"})
    )
    expect(page.get_by_text("You were signed out")).to_be_visible()
    assert live.project.key not in page.evaluate("JSON.stringify({...sessionStorage})")


def test_the_list_reads_a_jobs_losses_once_for_each_of_its_steps(dashboard: Dashboard) -> None:
    page = dashboard.page
    asked: Counter[str] = Counter()
    page.on("request", lambda request: asked.update([request.url]))
    dashboard.sign_in()
    expect(page.get_by_role("img", name=re.compile("^Training loss of")).first).to_be_visible()
    for _ in range(3):
        with page.expect_response(lambda answer: "/fine_tuning/jobs?" in answer.url):
            pass
    losses = [number for url, number in asked.items() if "/events?limit=100" in url]
    assert len(losses) > 3
    assert max(losses) == 1


def test_from_a_file_to_a_job_by_keyboard_alone(dashboard: Dashboard) -> None:
    page = dashboard.page
    dashboard.sign_in()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("g")
    page.keyboard.press("n")
    tab_to(page, "button", "Upload a file")
    page.keyboard.press("Enter")
    bad = EXAMPLES + b'{"messages": [}\n{"text": 1}\n'
    bad += b'\n{"messages": [{"role": "user", "content": "?"}, {"role": "assistant", "content": ""}]}\n'
    bad += b'{"messages": [{"role": "assistant", "content": "Hi", "colour": "red"}]}\n\n'
    page.get_by_label("Training file: a JSONL file").set_input_files(
        {"name": "bad.jsonl", "mimeType": "application/jsonl", "buffer": bad}
    )
    expect(page.get_by_text("A first look finds 5 lines that would be refused.")).to_be_visible()
    assert check_jsonl(io.BytesIO(bad)).n_problems == 5, "the server finds the same"
    expect(page.get_by_text(re.compile(r"^Line 13, column \d+: This is not JSON"))).to_be_visible()
    expect(page.get_by_text(re.compile("^Line 15, .* is blank"))).to_be_visible()
    expect(page.get_by_text(re.compile(r"^Line 17, .*colour` is not an allowed key"))).to_be_visible()
    page.get_by_label("Training file: a JSONL file").set_input_files(
        {"name": "faq.csv", "mimeType": "text/csv", "buffer": b"question,answer\nWhere?,Here.\n"}
    )
    expect(page.get_by_text("tunery data convert faq.csv", exact=True)).to_be_visible()
    page.get_by_label("Training file: a JSONL file").set_input_files(
        {"name": "keyboard.jsonl", "mimeType": "application/jsonl", "buffer": EXAMPLES}
    )
    expect(page.get_by_role("combobox", name="Training file")).to_have_value(re.compile("^file-"))
    tab_to(page, "textbox", "Name")
    page.keyboard.type("by-keyboard")
    tab_to(page, "button", "Preview and estimate")
    page.keyboard.press("Enter")
    expect(page.locator("mark").filter(has_text="Order 1 is on its way.").first).to_be_visible()
    expect(page.get_by_text("960 in all, 120 an epoch, of which 60 are learned")).to_be_visible()
    tab_to(page, "button", "Start the job")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="by-keyboard", level=1).wait_for()
    created = dashboard.live.openai().fine_tuning.jobs.list(limit=1).data[0]
    assert created.to_dict()["user_provided_suffix"] == "by-keyboard"
    tab_to(page, "button", "Cancel")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("Enter")
    tab_to(page, "button", "Cancel the job")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Cancelled", exact=True)).to_be_visible()


def test_jobs_of_later_pages_are_kept_up_to_date(dashboard: Dashboard) -> None:
    page, live = dashboard.page, dashboard.live
    old = live.openai().fine_tuning.jobs.list(limit=100).data[30]

    def become(status: str) -> None:
        with live.state.database.write() as session:
            session.get_one(tables.Job, old.id).status = status

    become("paused")
    dashboard.sign_in()
    page.get_by_role("link", name="orders", exact=True).wait_for()
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    row = page.get_by_role("listitem").filter(has=page.locator(f"a[href$='{old.id}']"))
    expect(row).to_contain_text("Paused")
    become(old.status)
    expect(row).to_contain_text(old.status.capitalize())


def test_a_job_is_started_on_plain_http_where_browsers_offer_less(dashboard: Dashboard) -> None:
    page = dashboard.page
    page.add_init_script("delete Crypto.prototype.randomUUID")
    dashboard.sign_in()
    dashboard.open(f"new?like={dashboard.seeded.queued}")
    expect(page.get_by_label("Name")).to_have_value("invoices")
    page.get_by_label("Name").fill("plain")
    page.get_by_role("button", name="Start the job").click()
    page.get_by_role("heading", name="plain", level=1).wait_for()


def test_a_running_job_is_followed_live_and_paused_and_resumed(dashboard: Dashboard) -> None:
    page, job = dashboard.page, dashboard.seeded.running
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    dashboard.sign_in()
    dashboard.open(f"job/{job}")
    expect(page.get_by_text(f"Step 48 of {STEPS}")).to_be_visible()
    take_steps(dashboard.live.state, job, 49, 60, (60,))
    page.get_by_text("Loss, nats per learned token as a table").click()
    table = page.get_by_role("region", name="Loss, nats per learned token, table")
    expect(table.get_by_role("rowheader", name="60", exact=True)).to_be_visible()
    former = [url for url in asked if "/checkpoints?" in url]
    for _ in range(2):
        with page.expect_response(lambda answer: answer.url.endswith(job)):
            pass
    assert [url for url in asked if "/checkpoints?" in url] == former
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Pausing", exact=True)).to_be_visible()
    with dashboard.live.state.database.write() as session:
        session.get_one(tables.Job, job).status = "paused"
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("Queued", exact=True)).to_be_visible()


def test_a_chart_stays_zoomed_while_steps_arrive(dashboard: Dashboard) -> None:
    page, job = dashboard.page, dashboard.seeded.paused
    dashboard.sign_in()
    dashboard.open(f"job/{job}")
    page.get_by_text("Loss, nats per learned token as a table").click()
    steps = page.get_by_role("region", name="Loss, nats per learned token, table").get_by_role("rowheader")
    expect(steps.first).to_have_text("30")
    chart = page.locator(".plot").first
    chart.scroll_into_view_if_needed()
    box = chart.locator(".u-over").bounding_box()
    assert box
    left, width, middle = box["x"], box["width"], box["y"] + box["height"] / 2

    def last_step(pixels_from_the_end: int) -> int:
        """What the legend says of the end of the chart."""
        page.mouse.move(left + width - pixels_from_the_end, middle)
        return int(chart.locator(".u-legend .u-value").first.inner_text())

    assert last_step(3) == 30
    page.mouse.move(left + width * 0.25, middle)
    page.mouse.down()
    page.mouse.move(left + width * 0.5, middle)
    page.mouse.up()
    zoomed = last_step(4)
    assert zoomed < 20
    take_steps(dashboard.live.state, job, 31, 36, (36,))
    expect(steps.first).to_have_text("36")
    assert last_step(3) == zoomed
    page.mouse.dblclick(left + width * 0.5, middle)
    assert last_step(4) == 36


def test_models_answer_side_by_side_and_keep_their_own_history(dashboard: Dashboard) -> None:
    page, seeded, engine = dashboard.page, dashboard.seeded, dashboard.live.engine
    dashboard.sign_in()
    dashboard.open(f"job/{seeded.succeeded}")
    page.get_by_role("link", name="Try the checkpoint of step 80").click()
    columns = page.get_by_role("region", name=re.compile("^Model"))
    expect(columns).to_have_count(3)
    expect(columns.nth(2).get_by_role("combobox")).to_have_value(f"{seeded.model}:ckpt-step-80")
    engine.requests.clear()
    for question in ("Where is order 7?", "And order 8?"):
        page.get_by_label("Message", exact=True).fill(question)
        page.keyboard.press("Enter")
        page.get_by_text("All answers have arrived.").wait_for()
        expect(page.get_by_label("Message", exact=True)).to_be_focused()
    expect(page.get_by_text("Order 7 is on its way.")).to_have_count(6)
    assert len(engine.requests) == 6
    roles = [message["role"] for message in engine.requests[-1].prompt.messages]  # type: ignore[union-attr]
    assert roles == ["user", "assistant", "user"]


def test_reasoning_is_folded_and_an_answer_that_its_limit_ended_says_so(
    dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, engine = dashboard.page, dashboard.live.engine
    monkeypatch.setattr(engine, "reasoning", "An order, then.")
    monkeypatch.setattr(engine, "reason", "length")
    dashboard.sign_in()
    dashboard.open("playground?model=base-1")

    def ask(question: str) -> None:
        page.get_by_label("Message", exact=True).fill(question)
        page.keyboard.press("Enter")
        page.get_by_text("All answers have arrived.").wait_for()
        expect(page.get_by_label("Message", exact=True)).to_be_focused()

    ask("Where is order 7?")
    expect(page.get_by_text("The token limit ended it.", exact=False)).to_be_visible()
    expect(page.get_by_text("An order, then.")).to_be_hidden()
    page.get_by_text("Reasoning", exact=True).click()
    expect(page.get_by_text("An order, then.")).to_be_visible()
    monkeypatch.setattr(engine, "pieces", [])
    ask("And order 8?")
    expect(page.get_by_text("The token limit ended it before it answered.")).to_be_visible()


def test_a_models_refusal_stands_in_its_own_column(dashboard: Dashboard) -> None:
    page = dashboard.page
    dashboard.sign_in()
    dashboard.open("playground?model=base-1&model=absent")
    page.get_by_label("Message", exact=True).fill("Hello")
    page.keyboard.press("Enter")
    columns = page.get_by_role("region", name=re.compile("^Model"))
    expect(columns.nth(0).get_by_text("Order 7 is on its way.")).to_be_visible()
    expect(columns.nth(1).get_by_text("absent", exact=False).last).to_be_visible()


def test_a_hidden_page_has_no_stream_and_goes_on_with_the_next_event(dashboard: Dashboard) -> None:
    page, job = dashboard.page, dashboard.seeded.paused

    def show(is_shown: bool) -> None:
        page.evaluate(
            """isShown => {
                Object.defineProperty(document, 'hidden', { value: !isShown, configurable: true })
                document.dispatchEvent(new Event('visibilitychange'))
            }""",
            is_shown,
        )

    dashboard.sign_in()
    dashboard.open(f"job/{job}")
    page.get_by_text("Loss, nats per learned token as a table").click()
    steps = page.get_by_role("region", name="Loss, nats per learned token, table").get_by_role("rowheader")
    expect(steps.first).to_have_text(re.compile(r"^\d+$"))
    last = int(steps.first.inner_text())
    with page.expect_event("requestfailed", lambda request: "stream=true" in request.url):
        show(False)
    take_steps(dashboard.live.state, job, last + 1, last + 4, (last + 4,))
    with page.expect_request(lambda request: "stream=true" in request.url) as again:
        show(True)
    assert int(again.value.headers["last-event-id"]) > 0
    expect(steps.first).to_have_text(str(last + 4))
    expect(page.get_by_text("The log is interrupted")).to_have_count(0)


def test_a_stream_is_opened_again_when_the_server_has_room(dashboard: Dashboard) -> None:
    page = dashboard.page
    refused: list[str] = []

    def refuse_once(route: Route) -> None:
        if refused:
            route.continue_()
            return
        refused.append(route.request.url)
        problem = {"error": {"message": "Too many streams are open.", "code": None, "param": None}}
        route.fulfill(status=429, headers={"retry-after": "3"}, json=problem)

    page.route(re.compile("stream=true"), refuse_once)
    dashboard.sign_in()
    dashboard.open(f"job/{dashboard.seeded.succeeded}")
    expect(page.get_by_text("Attempt 1 ended early")).to_be_visible()
    assert len(refused) == 1
    expect(page.get_by_text("Too many streams are open.")).to_have_count(0)


def test_the_code_that_it_copies_creates_the_same_job_again(dashboard: Dashboard) -> None:
    page, live = dashboard.page, dashboard.live
    dashboard.sign_in()
    dashboard.open(f"job/{dashboard.seeded.queued}")
    code = page.get_by_role("region", name="The request in Python")
    text = code.inner_text()
    assert "training=" not in text, "what has a default is left out"
    assert '"training"' not in text
    assert live.project.key not in text
    page.get_by_role("button", name="curl").click()
    body = json.loads(
        page.get_by_role("region", name="The request in curl").inner_text().split("-d '")[1][:-1]
    )
    page.get_by_role("button", name="Command line").click()
    command = page.get_by_role("region", name="The request in Command line").inner_text()
    _, *arguments = shlex.split(command.replace("\\\n", ""))
    ran = run_tunery(live, *arguments, "--yes", "--detach")
    assert ran.exit_code == 0, ran.output
    jobs = live.openai().fine_tuning.jobs
    again = live.openai().post("/fine_tuning/jobs", body=body, cast_to=object)
    former = jobs.retrieve(dashboard.seeded.queued).to_dict()
    for copy in (again, jobs.retrieve(ran.stdout.strip()).to_dict()):
        for name in ("model", "training_file", "seed", "hyperparameters", "method", "user_provided_suffix"):
            assert copy[name] == former[name], name  # type: ignore[index]
        assert copy["tunery"]["training"] == former["tunery"]["training"]  # type: ignore[index]


def test_an_elastic_job_says_how_many_workers_it_may_have(dashboard: Dashboard) -> None:
    make_elastic(dashboard.live.state, dashboard.seeded.queued)
    dashboard.sign_in()
    dashboard.open(f"job/{dashboard.seeded.queued}")
    expect(dashboard.page.get_by_text("1 to 2, none now")).to_be_visible()


def test_what_users_wrote_is_copied_as_text_that_no_terminal_obeys(dashboard: Dashboard) -> None:
    page, live = dashboard.page, dashboard.live
    metadata = {
        "lines": "a\n\x03rm -rf /\n",
        "screen": "\x1b[2J\x9b2J\x7f\u202e'\\!! $(id) \U000e0041",
        "plain": "it's `fine` $HOME",
    }
    file = dashboard.seeded.file
    job = live.openai().fine_tuning.jobs.create(model="base-1", training_file=file, metadata=metadata)
    dashboard.sign_in()
    dashboard.open(f"job/{job.id}")

    def copied(kind: str) -> str:
        page.get_by_role("button", name=kind).click()
        # As it is copied: the screen's own text would lack what cannot be seen.
        text = page.get_by_role("region", name=f"The request in {kind}").text_content() or ""
        assert all(char == "\n" or char.isprintable() for char in text), kind
        return text.strip()

    def ran(command: str, name: str) -> list[str]:
        """The arguments with which a shell runs it."""
        script = f"{name}() {{ printf '%s\\0' \"$@\"; }}\n{command}"
        done = subprocess.run(["bash", "-c", script], capture_output=True, check=True, timeout=300)
        return done.stdout.decode().split("\0")[:-1]

    arguments = ran(copied("Command line"), "tunery")
    assert {f"--metadata={name}={value}" for name, value in metadata.items()} <= set(arguments)
    assert json.loads(ran(copied("curl"), "curl")[-1])["metadata"] == metadata
    calls = [node for node in ast.walk(ast.parse(copied("Python"))) if isinstance(node, ast.Call)]
    named = {word.arg: word.value for call in calls for word in call.keywords}
    assert ast.literal_eval(named["metadata"]) == metadata


def test_weights_are_downloaded_with_the_key_in_a_header(dashboard: Dashboard) -> None:
    page = dashboard.page
    dashboard.sign_in()
    dashboard.open(f"model/{dashboard.seeded.model}")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download adapter_config.json").click()
    assert download.value.suggested_filename == "adapter_config.json"
    assert download.value.path().read_bytes() == b'{"peft_type": "LORA"}'


def test_an_admin_makes_a_key_that_is_shown_once_and_sets_a_limit(dashboard: Dashboard) -> None:
    page, live = dashboard.page, dashboard.live
    dashboard.sign_in(dashboard.seeded.admin_key)
    dashboard.open("organization")
    page.get_by_label("Name of a new key").fill("ci")
    page.get_by_label("infer").uncheck()
    posts: list[str] = []
    page.on("request", lambda request: posts.append(request.url) if request.method == "POST" else None)
    page.get_by_role("button", name="Create").nth(1).dblclick()
    made = page.get_by_role("status").locator(".mono").inner_text()
    models = live.openai(api_key=made).models.list().data
    assert models
    assert len(posts) == 1
    page.get_by_role("button", name="Done").click()
    assert made not in page.content()
    page.get_by_label("Jobs at once").fill("2")
    page.get_by_role("button", name="Save 1 change").click()
    expect(page.get_by_role("button", name="Save 0 changes")).to_be_disabled()
    path = f"/organization/projects/{live.project.tenant.project_id}/limits"
    limits = live.openai(api_key=dashboard.seeded.admin_key).get(path, cast_to=object)
    assert limits["max_concurrent_jobs"] == 2  # type: ignore[index]
    page.get_by_role("button", name=re.compile("^Back to the server")).click()
    expect(page.get_by_label("Jobs at once")).to_have_value("")


def test_an_admin_says_what_a_project_may_use_and_moves_its_jobs(dashboard: Dashboard) -> None:
    page, live = dashboard.page, dashboard.live
    client = live.openai(api_key=dashboard.seeded.admin_key)
    project = f"/organization/projects/{live.project.tenant.project_id}"

    def told(what: str) -> dict[str, Any]:
        found = client.get(f"{project}/{what}", cast_to=object)
        assert isinstance(found, dict)
        return found

    dashboard.sign_in(dashboard.seeded.admin_key)
    dashboard.open("organization")
    page.get_by_label("Highest priority of jobs").select_option("high")
    page.get_by_label("Share of the devices").fill("3")
    page.get_by_label("Devices at once").fill("4")
    page.get_by_role("button", name="Save 3 changes").click()
    expect(page.get_by_role("button", name="Save 0 changes")).to_be_disabled()
    limits = told("limits")
    assert (limits["max_priority"], limits["device_share"], limits["max_devices"]) == ("high", 3, 4)
    page.get_by_role("checkbox", name="dpo").uncheck()
    page.get_by_role("checkbox", name="full").uncheck()
    page.get_by_role("button", name="Save 2 changed rights").click()
    expect(page.get_by_role("button", name="Save 0 changed rights")).to_be_disabled()
    assert (told("rights")["methods"], told("rights")["models"]) == (["supervised"], None)
    dashboard.open("new")
    expect(page.get_by_label("Method").get_by_role("option")).to_have_count(1)
    expect(page.get_by_label("Training", exact=True).get_by_role("option")).to_have_count(3)
    dashboard.open("organization")
    page.get_by_role("button", name="Allow everything").click()
    expect(page.get_by_role("checkbox", name="dpo")).to_be_checked()

    job = dashboard.seeded.queued
    dashboard.open("cluster")
    expect(page.get_by_role("region", name="Pools").get_by_role("row")).to_have_count(2)
    with page.expect_response(lambda answer: job in answer.url and answer.request.method == "POST"):
        page.get_by_label(f"Priority of {job}").select_option("high")
    moved = page.get_by_role("region", name="Queue").get_by_role("row").nth(1)
    expect(moved).to_contain_text(job)
    assert client.fine_tuning.jobs.retrieve(job).to_dict()["tunery"]["priority"] == "high"  # type: ignore[index]
    page.get_by_label(f"Priority of {job}").select_option("normal")
    expect(page.get_by_label(f"Priority of {job}")).to_have_value("normal")
    client.delete(f"{project}/limits", cast_to=object)


def test_only_the_operator_limits_a_pool(dashboard: Dashboard) -> None:
    page, database = dashboard.page, dashboard.live.state.database
    dashboard.sign_in(dashboard.seeded.admin_key)
    dashboard.open("cluster")
    pool = page.get_by_role("region", name="Pools").get_by_role("row").nth(1)
    expect(pool).to_contain_text("all")
    expect(pool.get_by_role("spinbutton")).to_have_count(0)
    with database.write() as session:
        operator = ApiKeys(session).ensure_admin(None)
    page.get_by_role("button", name="Sign out").click()
    dashboard.sign_in(operator)
    dashboard.open("cluster")
    limit = page.get_by_label("Devices of training that jobs may hold")
    with page.expect_response(lambda answer: answer.url.endswith("/organization/pools/training")):
        limit.fill("0")
        limit.blur()
    expect(limit).to_have_value("0")
    limit.press_sequentially("e")
    limit.blur()
    expect(page.get_by_role("alert")).to_contain_text("Write a number of devices")
    expect(limit).to_have_value("0")
    limit.fill("")
    limit.blur()
    page.get_by_role("button", name="Keep it").click()
    expect(limit).to_have_value("0")
    with database.read() as session:
        assert pool_limits(session) == {"training": 0}
    limit.fill("")
    limit.blur()
    page.get_by_role("button", name="Lift the limit").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(limit).to_have_value("")
    with database.read() as session:
        assert pool_limits(session) == {}


def test_an_administrator_decides_what_is_kept_held_and_looks_who_changed_what(dashboard: Dashboard) -> None:
    page, seeded = dashboard.page, dashboard.seeded
    client = dashboard.live.openai(api_key=seeded.admin_key)
    project = f"/organization/projects/{dashboard.live.project.tenant.project_id}"
    dashboard.sign_in(seeded.admin_key)
    dashboard.open("organization")
    page.get_by_label("Events of jobs").fill("90")
    page.get_by_label("Result files").fill("forever")
    page.get_by_role("button", name="Save 2 changed terms").click()
    page.get_by_role("button", name="Save 2 terms").click()
    expect(page.get_by_role("button", name="Save 0 changed terms")).to_be_disabled()
    retention = client.get(f"{project}/retention", cast_to=object)
    assert isinstance(retention, dict)
    assert retention["events"] == {"days": 90, "set_by": "project"}
    assert retention["results"] == {"days": "forever", "set_by": "project"}
    page.get_by_role("button", name=re.compile("^Back to the organization")).click()
    page.get_by_role("button", name=re.compile("^Use the organization")).click()
    expect(page.get_by_label("Events of jobs")).to_have_value("")

    page.get_by_label("What to hold").fill(seeded.file)
    page.get_by_label("Reason of the hold").fill("case 7")
    page.get_by_role("button", name="Hold", exact=True).click()
    expect(page.get_by_text("case 7")).to_be_visible()
    with pytest.raises(openai.ConflictError):
        client.files.delete(seeded.file)
    page.get_by_role("button", name=f"Release {seeded.file}").click()
    page.get_by_role("button", name="Release it").click()
    expect(page.get_by_text("Nothing is held.")).to_be_visible()
    expect(page.get_by_text("Encrypted as storage does by default.")).to_be_visible()
    expect(page.get_by_role("button", name="Encrypt with this key")).to_have_count(0)

    dashboard.open("cluster")
    dashboard.open("organization")
    log = page.get_by_role("region", name="Audit log")
    newest = log.get_by_role("row").nth(1)
    expect(newest).to_contain_text("legal_hold.deleted")
    page.get_by_label("Which changes").select_option("project.retention.updated")
    expect(newest).to_contain_text("project.retention.updated")
    expect(newest).to_contain_text(dashboard.live.project.tenant.project_id)


def test_the_operator_begins_and_ends_maintenance_and_is_told_why_a_key_is_refused(
    dashboard: Dashboard,
) -> None:
    page, database = dashboard.page, dashboard.live.state.database
    with database.write() as session:
        operator = ApiKeys(session).ensure_admin(None)
    dashboard.sign_in(operator)
    dashboard.open("organization")
    page.get_by_label(re.compile("Key of storage for")).fill("arn:aws:kms:eu-central-1:111122223333:key/1")
    page.get_by_role("button", name="Encrypt with this key").click()
    expect(page.get_by_text("encryption_unsupported")).to_be_visible()
    dashboard.open("cluster")
    page.get_by_role("button", name="Let running jobs finish …").click()
    page.get_by_role("button", name="Begin maintenance").click()
    expect(page.get_by_role("button", name="End maintenance")).to_be_visible()
    with database.read() as session:
        assert current_maintenance(session) is not None
    page.get_by_role("button", name="End maintenance").click()
    expect(page.get_by_role("button", name="Pause running jobs …")).to_be_visible()
    with database.read() as session:
        assert current_maintenance(session) is None


def test_a_job_may_be_given_only_the_priorities_of_its_project(dashboard: Dashboard) -> None:
    page = dashboard.page
    dashboard.sign_in()
    dashboard.open(f"new?like={dashboard.seeded.queued}")
    expect(page.get_by_label("Name")).to_have_value("invoices")
    priority = page.get_by_label("Priority")
    expect(priority.get_by_role("option")).to_have_text(["low", "normal"])
    priority.select_option("low")
    page.get_by_label("Name").fill("patient")
    page.get_by_role("button", name="Start the job").click()
    page.get_by_role("heading", name="patient", level=1).wait_for()
    (job,) = dashboard.live.openai().fine_tuning.jobs.list(limit=1).data
    assert job.to_dict()["tunery"]["priority"] == "low"  # type: ignore[index]
    page.get_by_role("button", name="Command line").click()
    command = page.get_by_role("region", name="The request in Command line")
    expect(command).to_contain_text("--priority=low")


def test_a_file_that_no_job_can_use_is_refused_before_anything_is_sent(dashboard: Dashboard) -> None:
    page, client, engine = dashboard.page, dashboard.live.openai(), dashboard.live.engine
    refused: list[str] = []
    page.on("response", lambda answer: refused.append(answer.url) if answer.status >= 400 else None)
    pair = {
        "input": {"messages": [{"role": "user", "content": "Hi"}]},
        "preferred_output": [{"role": "assistant", "content": "Hello."}],
        "non_preferred_output": [{"role": "assistant", "content": "Go."}],
    }
    rows = "".join(json.dumps(pair) + "\n" for _ in range(MIN_TRAINING_EXAMPLES)).encode()
    three = b"".join(EXAMPLES.splitlines(keepends=True)[:3])
    few = client.files.create(file=("few.jsonl", three), purpose="fine-tune").id
    pairs = client.files.create(file=("pairs.jsonl", rows), purpose="fine-tune").id
    dashboard.sign_in()
    dashboard.open("new")
    page.get_by_role("button", name="Upload a file").click()
    for content, message in (
        (b"", "The file is empty."),
        (three, f"at least {MIN_TRAINING_EXAMPLES} examples, and the file has 3"),
    ):
        page.get_by_label("Training file: a JSONL file").set_input_files(
            {"name": "bad.jsonl", "mimeType": "application/jsonl", "buffer": content}
        )
        expect(page.get_by_role("alert")).to_contain_text(message)
    look = page.get_by_role("button", name="Preview and estimate")
    dashboard.open("data")
    former, engine.report = engine.report, check_data(io.BytesIO(three))
    dashboard.open(f"new?file={few}")
    expect(page.get_by_role("alert")).to_contain_text("has 3 examples; a job needs at least 10")
    expect(look).to_be_disabled()
    engine.report = check_data(io.BytesIO(rows))
    page.get_by_role("combobox", name="Training file").select_option(pairs)
    expect(page.get_by_label("Method")).to_have_value("dpo")
    expect(look).to_be_enabled()
    page.get_by_label("Method").select_option("supervised")
    expect(page.get_by_role("alert")).to_contain_text("has preference rows")
    expect(page.get_by_role("button", name="Start the job")).to_be_disabled()
    engine.report = former
    assert refused == []


def test_runs_are_compared_until_they_have_ended_and_those_left_out_are_counted(
    dashboard: Dashboard,
) -> None:
    page, client = dashboard.page, dashboard.live.openai()
    job = client.fine_tuning.jobs.create(model="base-1", training_file=dashboard.seeded.file)
    dashboard.sign_in()
    dashboard.open(f"compare?job={job.id}")
    page.get_by_role("cell", name="Checking files").or_(page.get_by_role("cell", name="Queued")).wait_for()
    client.fine_tuning.jobs.cancel(job.id)
    expect(page.get_by_role("cell", name="Cancelled", exact=True)).to_be_visible()

    jobs = [each.id for each in client.fine_tuning.jobs.list(limit=8).data]
    dashboard.open("data")
    dashboard.open("compare?" + "&".join(f"job={each}" for each in jobs))
    leave_out = page.get_by_role("button", name=re.compile("^Leave out"))
    for left in (8, 7):
        expect(page.get_by_text(f"The first 6 of {left} runs are shown.")).to_be_visible()
        expect(leave_out).to_have_count(6)
        leave_out.first.click()
    expect(page.get_by_text("runs are shown")).to_have_count(0)
    expect(leave_out).to_have_count(6)


def test_the_theme_is_the_systems_until_one_is_chosen(dashboard: Dashboard) -> None:
    page = dashboard.page

    def background() -> str:
        return str(page.evaluate("getComputedStyle(document.documentElement).backgroundColor"))

    dashboard.sign_in()
    light = background()
    page.emulate_media(color_scheme="dark")
    dark = background()
    assert light != dark
    page.get_by_role("button", name="Theme: System").click()
    assert background() == light
    page.reload()
    page.get_by_role("button", name="Theme: Light").click()
    page.emulate_media(color_scheme="light")
    assert background() == dark


def test_a_server_that_is_away_is_said_so_and_found_again(dashboard: Dashboard) -> None:
    page = dashboard.page
    dashboard.sign_in()
    page.route("**/v1/fine_tuning/jobs?*", lambda route: route.abort())
    expect(page.get_by_role("alert")).to_contain_text("The server does not answer.")
    expect(page.get_by_text("support").first).to_be_visible()
    page.unroute("**/v1/fine_tuning/jobs?*")
    expect(page.get_by_role("alert")).to_have_count(0)
