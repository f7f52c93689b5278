"""Tests the dashboard with a whole server: from a file to a model that answers, using only the browser."""

import json

from playwright.sync_api import expect

from tests.dashboard.browsing import chromium, visiting
from tests.e2e.server import BASE, Tunery, jsonl

_TRAINED_MILLISECONDS = 900_000


def check_dashboard(tunery: Tunery) -> None:
    with chromium() as browser, visiting(browser, tunery.url, tunery.key) as visit:
        page = visit.page
        visit.sign_in()
        visit.open("new")
        page.get_by_role("button", name="Upload a file").click()
        page.get_by_label("Training file: a JSONL file").set_input_files(
            {"name": "orders.jsonl", "mimeType": "application/jsonl", "buffer": jsonl(40)}
        )
        expect(page.get_by_role("combobox", name="Training file")).to_contain_text("orders.jsonl")
        page.get_by_label("Begin with").select_option(BASE)
        page.get_by_role("textbox", name="Name").fill("browsed")
        page.get_by_role("spinbutton", name="Epochs").fill("1")
        page.get_by_role("button", name="Preview and estimate").click()
        learned = page.locator("mark").filter(has_text="Order 0 holds 1 pieces.")
        expect(learned.first).to_be_visible(timeout=300_000)
        page.get_by_role("button", name="Start the job").click()
        page.get_by_role("heading", name="browsed", level=1).wait_for()
        page.get_by_text("Loss, nats per learned token as a table").wait_for(timeout=_TRAINED_MILLISECONDS)
        page.get_by_role("link", name="Try it").click(timeout=_TRAINED_MILLISECONDS)
        page.get_by_label("Message", exact=True).fill("order 3 qty 4")
        page.get_by_role("spinbutton", name="Tokens").fill("24")
        page.get_by_role("button", name="Send").click()
        page.get_by_text("All answers have arrived.").wait_for(timeout=300_000)
        columns = page.get_by_role("region", name="Model 2").get_by_role("listitem")
        shown = columns.nth(1).inner_text()
    job = tunery.client().fine_tuning.jobs.list(limit=1).data[0]
    assert (job.status, job.to_dict()["user_provided_suffix"]) == ("succeeded", "browsed")
    answer = tunery.client().chat.completions.create(
        model=job.fine_tuned_model or "",
        messages=[{"role": "user", "content": "order 3 qty 4"}],
        temperature=0,
        max_completion_tokens=24,
    )
    assert json.dumps(answer.choices[0].message.content)[1:-1] in json.dumps(shown)
