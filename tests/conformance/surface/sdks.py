"""The SDKs, and what each of their methods does against Tunery."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_HERE = Path(__file__).parent
CLIENTS = Path(__file__).parents[3] / ".clients"
"""Where `make test` installs clients that are not in the environment of the tests."""
LIMIT_SECONDS = 300


@dataclass(frozen=True)
class Sdk:
    name: str
    command: tuple[str, ...]
    folder: Path = _HERE


@dataclass(frozen=True)
class Surface:
    """What the SDK's methods did, by their paths in Python's spelling."""

    version: str
    outcomes: dict[str, str | None]
    """None: it worked. Otherwise the status, code and message of its refusal."""
    unknown: list[str]
    """Methods that the script does not call."""


def sdks() -> list[Sdk]:
    script = str(_HERE / "python_sdk.py")
    # Node looks for packages in its working directory only if the program is no file.
    program = (_HERE / "node_sdk.mjs").read_text()
    return [
        Sdk("openai-python", (sys.executable, script)),
        Sdk("openai-python", (str(CLIENTS / "bin" / "python"), script)),
        Sdk(
            "openai-node",
            (str(CLIENTS / "bin" / "node"), "--input-type=module", "--eval", program),
            CLIENTS / "node",
        ),
    ]


def exercise(sdk: Sdk, given: dict[str, str]) -> Surface:
    """Calls all methods. Raises AssertionError if one gives a wrong answer."""
    done = subprocess.run(
        sdk.command,
        cwd=sdk.folder,
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
    )
    assert done.returncode == 0, f"{sdk.name}: {done.stderr}"
    return Surface(**json.loads(done.stdout))
