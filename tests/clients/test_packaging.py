"""The client is a package of its own: generated from the committed document, and independent of the
server."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.conformance.surface.sdks import CLIENTS
from tests.tiers import sampled

pytestmark = pytest.mark.slow

CLIENT = Path(__file__).parents[2] / "clients" / "python"

IMPORT_ALL = """
import importlib, pkgutil, sys

before = set(sys.modules)

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"service", "cluster", "pydantic", "fastapi", "httpx2", "torch", "ray"}:
            raise ImportError(f"the client imports {name}")

sys.meta_path.insert(0, Refuse())
import tunery_client
found = list(pkgutil.walk_packages(tunery_client.__path__, "tunery_client."))
for module in found:
    importlib.import_module(module.name)
assert len(found) > 50, found
declared = {"httpx", "attrs", "attr", "dateutil"}
of_httpx = {"httpcore", "anyio", "idna", "certifi", "h11", "sniffio", "click", "rich", "pygments"}
of_httpx |= {"brotli", "_brotli"}
of_others = {"typing_extensions", "six"}
installed = {
    name.split(".")[0]
    for name, module in sys.modules.items()
    if name not in before and "site-packages" in str(getattr(module, "__file__", ""))
}
unknown = installed - declared - of_httpx - of_others - {"tunery_client"}
assert not unknown, unknown
"""


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_it_imports_without_the_server() -> None:
    done = run(sys.executable, "-c", f"import sys; sys.path.insert(0, {str(CLIENT)!r})\n{IMPORT_ALL}")
    assert done.returncode == 0, done.stderr


def test_the_committed_code_is_what_the_committed_document_generates() -> None:
    done = run(sys.executable, str(CLIENT / "generate.py"), "--check")
    assert done.returncode == 0, done.stderr


def test_the_wheel_holds_the_public_modules_and_the_generated_code_only(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for path in CLIENT.rglob("*"):
        if path.is_file() and not {"build", "__pycache__"} & set(path.parts) and "egg-info" not in str(path):
            copy = source / path.relative_to(CLIENT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    options = ["--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path)]
    done = run(*pip, "wheel", *options, str(source))
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {
        "tunery_client/py.typed",
        "tunery_client/_sync/jobs.py",
        "tunery_client/_generated/client.py",
    } <= set(names)
    assert {name.split("/")[0] for name in names} == {
        "tunery_client",
        wheel.name.rsplit("-", 3)[0] + ".dist-info",
    }


@pytest.mark.parametrize("version", sampled(["3.10", "3.14"], ["3.10"]))
def test_it_works_on_the_oldest_and_the_newest_python(version: str) -> None:
    if not (CLIENTS / "installed").exists() and not os.environ.get("CI"):
        pytest.skip("`make .clients/installed` installs these versions of Python")
    here = Path(__file__).parent / "pythons"
    python = CLIENTS / "node" / "node_modules" / f"python-{version}"
    packages = sysconfig.get_path("purelib")
    node = str(CLIENTS / "bin" / "node")
    done = run(node, str(here / "run.cjs"), str(python), str(here / "program.py"), packages, str(CLIENT))
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"python: {version}\n")
