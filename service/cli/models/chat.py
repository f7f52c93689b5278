"""`tunery chat`: chats with a model, once or in a conversation, optionally beside its base."""

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any

import typer

from service.cli import completion
from service.cli.commands import api_command
from service.cli.failures import USAGE, CommandFailed
from service.cli.lookups import JOB, find_job, find_model, quoted
from service.cli.models.answers import ChatRequest, answers_at_once, streamed_answers
from service.cli.output import Output, printable
from service.cli.remote import Api

app = typer.Typer()

_HELP = (
    "/reset begins again, /system TEXT sets the instruction, /quit or Ctrl-D ends, Ctrl-C stops an answer."
)


@api_command(app, "chat")
def chat(
    api: Api,
    output: Output,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL|JOB",
            help="A model, an alias, or the id of a job to use its tuned model.",
            autocompletion=completion.models_and_jobs,
        ),
    ],
    message: Annotated[
        str | None, typer.Option("--message", "-m", help="Send this message, print the answer and exit.")
    ] = None,
    system: Annotated[str | None, typer.Option("--system", "-s", help="System message.")] = None,
    is_compared: Annotated[
        bool, typer.Option("--base", help="Show the base model's answers next to the tuned model's.")
    ] = False,
    temperature: Annotated[
        float | None,
        typer.Option(
            help="Sampling temperature; by default the catalogue's, or 1. 0 always picks the most likely "
            "token."
        ),
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Maximum tokens of an answer.", min=1)] = None,
) -> None:
    """Chat with a model.

    Answers once and exits if there is no terminal, or with --message."""
    names = _models(api, output, model, is_compared)
    settings = {"temperature": temperature, "max_completion_tokens": max_tokens}
    request = ChatRequest(names, {name: value for name, value in settings.items() if value is not None})
    if message is None and not sys.stdin.isatty():
        message = _typed(sys.stdin.read).strip()
        if not message:
            raise CommandFailed("Nothing to ask: give --message, or a text on stdin.", USAGE)
    history = [{"role": "system", "content": system}] if system else []
    if message is not None:
        _answer_once(api, output, request, [*history, {"role": "user", "content": message}])
    elif output.wants_json:
        raise CommandFailed("--json needs --message, or a text on stdin.", USAGE)
    else:
        _converse(api, request, history)


def _typed(read: Callable[[], str]) -> str:
    try:
        return read()
    except UnicodeDecodeError as error:
        raise CommandFailed(
            f"The text on stdin is not {error.encoding.upper()}. `iconv` can convert it.", USAGE
        ) from error


def _models(api: Api, output: Output, given: str, is_compared: bool) -> list[str]:
    """The model; preceded by its base if both are compared."""
    name = _model_of_job(api, output, given) if given.startswith(JOB) else given
    model = find_model(api, name)
    base = model["tunery"]["base"]
    if not is_compared:
        return [name]
    if base == name:
        raise CommandFailed(f"{name} is a base model itself: leave out --base.", USAGE)
    return [base, name]


def _model_of_job(api: Api, output: Output, job_id: str) -> str:
    job = find_job(api, job_id)
    if job["fine_tuned_model"]:
        return str(job["fine_tuned_model"])
    checkpoints = api.get(f"/fine_tuning/jobs/{quoted(job_id)}/checkpoints", limit=1)["data"]
    if not checkpoints:
        raise CommandFailed(f"{job_id} is {job['status']}, and has no model and no checkpoint yet.")
    name = str(checkpoints[0]["fine_tuned_model_checkpoint"])
    output.remark(f"{job_id} is {job['status']}: asking its last checkpoint, {name}.")
    return name


def _answer_once(api: Api, output: Output, request: ChatRequest, messages: list[dict[str, Any]]) -> None:
    if output.wants_json:
        answers = answers_at_once(api, request, messages)
        output.json(answers[0] if len(answers) == 1 else answers)
    else:
        streamed_answers(api, request, messages)


def _converse(api: Api, request: ChatRequest, history: list[dict[str, Any]]) -> None:
    with suppress(ImportError):
        import readline  # noqa: F401 - input() then edits lines and remembers them
    print(f"{' and '.join(map(printable, request.models))}. {_HELP}", file=sys.stderr)
    while True:
        try:
            line = _typed(lambda: input("> ")).strip()
        except CommandFailed as error:
            print(f"tunery: {error}", file=sys.stderr)
            continue
        except EOFError:
            print(file=sys.stderr)
            return
        except KeyboardInterrupt:
            print(file=sys.stderr)
            continue
        command, _, text = line.partition(" ")
        if command in ("/quit", "/exit"):
            return
        if command == "/reset":
            history = [message for message in history if message["role"] == "system"]
        elif command == "/system":
            history = [{"role": "system", "content": text}] if text else []
        elif command.startswith("/"):
            print(_HELP, file=sys.stderr)
        elif line:
            history = _turn(api, request, [*history, {"role": "user", "content": line}])


def _turn(api: Api, request: ChatRequest, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the conversation with the answer added; without the question if there was no answer."""
    try:
        said = streamed_answers(api, request, messages)[-1]
    except CommandFailed as error:
        print(f"tunery: {printable(str(error))}", file=sys.stderr)
        return messages[:-1]
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        return messages[:-1]
    return [*messages, {"role": "assistant", "content": said}]
