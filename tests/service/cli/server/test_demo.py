"""`tunery demo` against a live API whose cluster the test plays."""

import io
import threading
from contextlib import closing

import pytest
from rich.console import Console

from service.cli.remote import Api, Target
from service.cli.server.demo import DemoFailed, Question, ask, tune
from tests.api import BASE, LiveApi
from tests.service.cli.training import begin, fail, report_steps, succeed

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]


def train(live: LiveApi, is_over: threading.Event, *, fails: bool) -> None:
    """Trains the first job that is created."""
    while not is_over.wait(0.05):
        if jobs := live.openai().fine_tuning.jobs.list().data:
            begin(live, jobs[0].id)
            report_steps(live, jobs[0].id, 1, 10)
            fail(live, jobs[0].id) if fails else succeed(live, jobs[0].id)
            return


@pytest.mark.parametrize("fails", [False, True])
def test_it_shows_the_training_and_asks_the_model(live: LiveApi, fails: bool) -> None:
    is_over, said = threading.Event(), io.StringIO()
    cluster = threading.Thread(target=train, args=(live, is_over), kwargs={"fails": fails})
    cluster.start()
    try:
        with closing(Api(Target(f"{live.url}/v1", live.project.key))) as api:
            if fails:
                with pytest.raises(DemoFailed, match="The GPU has too little memory"):
                    tune(api, Console(file=said), base=BASE.alias)
            else:
                job = tune(api, Console(file=said), base=BASE.alias)
                assert ask(api, job["fine_tuned_model"], Question([{"role": "user", "content": "x"}], "y"))
    finally:
        is_over.set()
        cluster.join()
    assert "step 10/10" in said.getvalue()
