"""`tunery` as a process of its own: on a pseudo-terminal, as its users see it, or with pipes."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.api import LiveApi
from tests.documents import ROOT
from tests.service.cli.half_deaf import HalfDeaf

COMMAND = [
    sys.executable,
    "-c",
    "import sys; sys.argv[0] = 'tunery'; from service.cli.main import app; app()",
]
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|\x1b[()][A-Z0-9]")
_WRITTEN = re.compile(rf"({_CONTROL.pattern})|([^\x1b])", re.DOTALL)
_SECONDS = 300.0


class Terminal:
    """A running command on a terminal that is 100 characters wide."""

    def __init__(self, process: subprocess.Popen[bytes], screen: int) -> None:
        self._process = process
        self._screen = screen
        self._raw = b""

    @property
    def raw(self) -> str:
        """Everything that was written, with control sequences."""
        return self._raw.decode(errors="replace")

    @property
    def text(self) -> str:
        """What was written, without control sequences; lines that were written over are there too."""
        return _CONTROL.sub("", self.raw).replace("\r\n", "\n").replace("\r", "\n")

    def until(self, text: str) -> None:
        deadline = time.monotonic() + _SECONDS
        while text not in self.text:
            assert time.monotonic() < deadline, f"no {text!r} in {self.text!r}"
            if not self._read():
                assert text in self.text, f"ended without {text!r}: {self.text!r}"

    def send(self, text: str) -> None:
        os.write(self._screen, text.encode())

    @property
    def screen(self) -> list[str]:
        """The lines that a terminal shows now, without the empty ones at the end."""
        return _shown(self.raw)

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.send("\x03")

    def wait(self) -> int:
        """Returns the exit code."""
        deadline = time.monotonic() + _SECONDS
        while self._read():
            assert time.monotonic() < deadline, self.text
        return self._process.wait(_SECONDS)

    def _read(self) -> bool:
        """Returns whether there may be more."""
        if not select.select([self._screen], [], [], 0.1)[0]:
            return self._process.poll() is None
        try:
            content = os.read(self._screen, 65_536)
        except OSError:  # Linux's way to say that nobody writes any more
            return False
        self._raw += content
        return bool(content)


def _shown(written: str) -> list[str]:
    """Knows the control sequences that rich writes: up, clear the line, back to its beginning."""
    lines, row, column = [""], 0, 0
    for control, character in _WRITTEN.findall(written):
        if control.endswith("A"):
            row = max(0, row - int(control[2:-1] or 1))
        elif control.endswith("K"):
            lines[row] = "" if control.startswith("\x1b[2") else lines[row][:column]
        elif character == "\r":
            column = 0
        elif character == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif character:
            lines[row] = f"{lines[row][:column]:<{column}}{character}{lines[row][column + 1 :]}"
            column += 1
    return "\n".join(line.rstrip() for line in lines).rstrip("\n").split("\n")


def _take_terminal() -> None:
    """Lets Ctrl-C reach the command: in a session of its own, and also where the tests run in the background,
    for which shells have the signal ignored."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def on_terminal(
    live: LiveApi | HalfDeaf, folder: Path, *arguments: object, **environment: str
) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment_of(live, folder, TERM="xterm-256color", **environment),
        cwd=folder,
        start_new_session=True,
        preexec_fn=_take_terminal,
    )
    os.close(theirs)
    try:
        yield Terminal(process, ours)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(ours)


def piped(
    live: LiveApi, folder: Path, *arguments: object, stdin: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        env=environment_of(live, folder, **environment),
        cwd=folder,
        timeout=_SECONDS,
    )


def environment_of(live: LiveApi | HalfDeaf, folder: Path, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
    return {
        **kept,
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "PYTHONUTF8": "1",
        "TUNERY_BASE_URL": f"{live.url}/v1",
        "TUNERY_API_KEY": live.project.key,
        **more,
    }
