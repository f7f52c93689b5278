"""Writes `tunery_client/_generated` from the committed OpenAPI document.

python clients/python/generate.py            # write
python clients/python/generate.py --check    # exits with 1 if the committed client differs
"""

import argparse
import filecmp
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "openapi" / "openapi.json"
GENERATED = HERE / "tunery_client" / "_generated"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder) / "_generated"
        generate(fresh)
        if options.check:
            different = differences(fresh, GENERATED)
            if different:
                sys.stderr.write(f"run python clients/python/generate.py; stale: {', '.join(different)}\n")
            return 1 if different else 0
        shutil.rmtree(GENERATED, ignore_errors=True)
        shutil.copytree(fresh, GENERATED)
    return 0


def generate(target: Path) -> None:
    """Generates the client into `target`. Raises CalledProcessError, with the generator's output on
    stderr."""
    command = ["openapi-python-client", "generate", "--meta", "none", "--fail-on-warning"]
    files = ["--path", str(DOCUMENT), "--config", str(HERE / "generator.yaml"), "--output-path", str(target)]
    _run(str(Path(sys.executable).with_name(command[0])), *command[1:], *files)
    ruff = [sys.executable, "-m", "ruff"]
    _run(*ruff, "check", "--isolated", "--quiet", "--fix", "--select", "F401,I", "--exit-zero", str(target))
    _run(*ruff, "format", "--isolated", "--quiet", "--line-length", "110", str(target))


def differences(left: Path, right: Path) -> list[str]:
    """Returns the relative names of files that differ or exist in only one of the folders."""
    names = {path.relative_to(root).as_posix() for root in (left, right) for path in root.rglob("*.py")}
    return sorted(
        name
        for name in names
        if not ((left / name).is_file() and (right / name).is_file())
        or not filecmp.cmp(left / name, right / name, shallow=False)
    )


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        done.check_returncode()


if __name__ == "__main__":
    sys.exit(main())
