"""`tunery chat` with a fake engine, which answers everything with "Hello wörld"."""

import json
from pathlib import Path

import pytest

from cluster.contracts.errors import Unavailable
from tests.api import BASE, LiveApi, add_tuned_model
from tests.service.cli.half_deaf import half_deaf
from tests.service.cli.running import run_tunery
from tests.service.cli.terminal import on_terminal, piped

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

ANSWER = "Hello wörld"


def tuned(live: LiveApi) -> tuple[str, str]:
    """A job and its model."""
    job = live.openai().fine_tuning.jobs.create(model=BASE.alias, training_file=live.upload())
    return job.id, add_tuned_model(live.state.database, job.id)[0]


def asked(live: LiveApi) -> list[tuple[str, str]]:
    """What the engine was asked last."""
    (*_, request) = live.engine.requests
    return [(message["role"], message["content"]) for message in request.prompt.messages]


def test_a_message_is_answered_once_and_stdin_is_a_message(live: LiveApi, tmp_path: Path) -> None:
    once = run_tunery(live, "chat", BASE.alias, "-m", "Hi", "--system", "Be brief.", "--temperature", 0)
    assert (once.exit_code, once.stdout) == (0, f"{ANSWER}\n"), once.stderr
    assert asked(live) == [("system", "Be brief."), ("user", "Hi")]
    assert live.engine.requests[-1].sampling.temperature == 0
    assert piped(live, tmp_path, "chat", BASE.alias, stdin="What\nnow?\n").stdout == f"{ANSWER}\n"
    assert asked(live) == [("user", "What\nnow?")]
    assert piped(live, tmp_path, "chat", BASE.alias).returncode == 2
    latin = run_tunery(live, "chat", BASE.alias, stdin="wörld".encode("latin-1"))
    assert (latin.exit_code, latin.stderr) == (
        2, "tunery: The text on stdin is not UTF-8. `iconv` can convert it.\n",
    )  # fmt: skip
    ascii_only = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    escaped = piped(live, tmp_path, "chat", BASE.alias, "-m", "Hi", **ascii_only)
    assert (escaped.returncode, escaped.stdout) == (0, "Hello w\\xf6rld\n"), escaped.stderr


def test_json_is_the_apis_answer(live: LiveApi) -> None:
    answer = json.loads(run_tunery(live, "chat", BASE.alias, "-m", "Hi", "--json").stdout)
    assert answer["choices"][0]["message"]["content"] == ANSWER


def test_reasoning_is_shown_on_stderr_and_is_no_part_of_the_answer(live: LiveApi, tmp_path: Path) -> None:
    live.engine.reasoning = "A greeting."
    done = run_tunery(live, "chat", BASE.alias, "-m", "Hi")
    assert (done.exit_code, done.stdout, done.stderr) == (0, f"{ANSWER}\n", "A greeting.\n")
    with on_terminal(live, tmp_path, "chat", BASE.alias) as terminal:
        terminal.until("> ")
        terminal.send("one\n")
        terminal.until(f"one\nA greeting.\n{ANSWER}")
        assert "\x1b[2mA greeting." in terminal.raw
        terminal.send("two\n")
        terminal.until(f"two\nA greeting.\n{ANSWER}")
        assert asked(live) == [("user", "one"), ("assistant", ANSWER), ("user", "two")]
    job, _ = tuned(live)
    with on_terminal(live, tmp_path, "chat", job, "-m", "Hi", "--base") as terminal:
        assert terminal.wait() == 0
    assert any(line.count("A greeting.") == 2 for line in terminal.text.splitlines())
    assert any(line.count(ANSWER) == 2 for line in terminal.text.splitlines())


def test_a_job_is_its_model_and_the_base_answers_beside_it(live: LiveApi) -> None:
    job, model = tuned(live)
    done = run_tunery(live, "chat", job, "-m", "Hi", "--base")
    assert done.stdout == f"# {BASE.alias}\n{ANSWER}\n# {model}\n{ANSWER}\n"
    answers = json.loads(run_tunery(live, "chat", model, "-m", "Hi", "--base", "--json").stdout)
    assert [answer["model"] for answer in answers] == [BASE.alias, model]
    assert run_tunery(live, "chat", BASE.alias, "-m", "Hi", "--base").exit_code == 2
    new = live.openai().fine_tuning.jobs.create(model=BASE.alias, training_file=live.upload())
    early = run_tunery(live, "chat", new.id, "-m", "Hi")
    assert (early.exit_code, early.stdout) == (1, "")
    assert "no checkpoint yet" in early.stderr


def test_a_conversation_remembers_and_can_begin_again(live: LiveApi, tmp_path: Path) -> None:
    with on_terminal(live, tmp_path, "chat", BASE.alias) as terminal:
        terminal.until("> ")
        terminal.send("one\n")
        terminal.until(ANSWER)
        terminal.send("two\n")
        terminal.until(f"two\n{ANSWER}")
        assert asked(live) == [("user", "one"), ("assistant", ANSWER), ("user", "two")]
        terminal.send("/system Be brief.\n")
        terminal.send("three\n")
        terminal.until(f"three\n{ANSWER}")
        assert asked(live) == [("system", "Be brief."), ("user", "three")]
        terminal.send("/reset\n/quit\n")
        assert terminal.wait() == 0


def test_on_a_terminal_both_answers_stand_side_by_side(live: LiveApi, tmp_path: Path) -> None:
    job, _ = tuned(live)
    with on_terminal(live, tmp_path, "chat", job, "-m", "Hi", "--base") as terminal:
        assert terminal.wait() == 0
    beside = [line for line in terminal.text.splitlines() if line.count(ANSWER) == 2]
    assert beside
    assert beside[-1].index(ANSWER) == 0


def test_an_engine_that_fails_ends_a_single_question_but_not_a_conversation(
    live: LiveApi, tmp_path: Path
) -> None:
    live.engine.refusal = Unavailable("The model server is busy.")
    once = run_tunery(live, "chat", BASE.alias, "-m", "Hi")
    assert (once.exit_code, once.stdout) == (1, "")
    assert "The model server is busy." in once.stderr
    with on_terminal(live, tmp_path, "chat", BASE.alias) as terminal:
        terminal.until("> ")
        terminal.send("one\n")
        terminal.until("busy.")
        live.engine.refusal = None
        terminal.send("two\n")
        terminal.until(f"{ANSWER}\n> ")
        assert asked(live) == [("user", "two")]
        terminal.send("\x04")
        assert terminal.wait() == 0


def test_ctrl_c_stops_models_that_have_not_begun_to_answer(tmp_path: Path, database_url: str) -> None:
    def answer(method: str, path: str) -> tuple[int, object] | None:
        model = {"id": "tuned", "tunery": {"base": "base"}}
        return (200, model) if method == "GET" else None

    with half_deaf(answer) as server, on_terminal(server, tmp_path, "chat", "tuned", "--base") as terminal:
        terminal.until("> ")
        terminal.send("Hi\n")
        server.wait_for(2)
        terminal.interrupt()
        terminal.until("Stopped.\n> ")
        terminal.send("/quit\n")
        assert terminal.wait() == 0
