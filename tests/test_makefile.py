"""`make` on a machine whose Python cannot make environments, until it can."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.documents import ROOT

_VENV = """#!/bin/sh
echo "$@" >> venv.log
for folder; do :; done
mkdir -p "$folder/bin"
printf '#!/bin/sh\\nexit 0\\n' > "$folder/bin/python"
chmod +x "$folder/bin/python"
"""


@pytest.mark.parametrize(
    ("left", "made"),
    [
        (None, ["-m venv --clear .venv"]),
        # What `python3 -m venv` leaves behind where ensurepip is missing.
        ("exit 1", ["-m venv --clear .venv"]),
        ("exit 0", []),
    ],
)
def test_an_environment_without_pip_is_made_anew(tmp_path: Path, left: str | None, made: list[str]) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / "clients" / "python").mkdir(parents=True)
    for name in ("pyproject.toml", "constraints.txt", "clients/python/pyproject.toml"):
        (tmp_path / name).touch()
    programs = {"python3": _VENV}
    if left is not None:
        programs[".venv/bin/python"] = f"#!/bin/sh\n{left}\n"
    for name, source in programs.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
        (tmp_path / name).chmod(0o755)
    command = ["make", "--silent", "install", f"PYTHON={tmp_path / 'python3'}"]
    subprocess.run(command, cwd=tmp_path, check=True)
    log = tmp_path / "venv.log"
    assert (log.read_text().splitlines() if log.exists() else []) == made
    assert (tmp_path / ".venv" / "installed").exists()
