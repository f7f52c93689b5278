"""Uploads pass through: memory does not grow with the file, and what is cut off leaves nothing."""

import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import openai
import pytest

from service.api.app import create_app
from service.api.parts import Parts
from tests.api import LiveApi, Project, listening, with_settings

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

UPLOAD = """
import resource, sys
from pathlib import Path
from tests.api import add_project, listening, BASE
from tests.databases import migrate
from tests.fakes import FakeEngine
from cluster.storage.local import LocalStore
from service.api.app import create_app
from service.api.parts import Parts
from service.db.database import Database
from service.settings import Settings
from openai import OpenAI

folder, size = Path(sys.argv[1]), int(sys.argv[2])
url = f"sqlite:///{folder}/t.db"
migrate(url)
database = Database(url)
project = add_project(database)
parts = Parts(Settings(), database, LocalStore(folder / "objects"), FakeEngine(), {BASE.alias: BASE})
line = b'{"prompt": "' + b"x" * 100_000 + b'", "completion": "y"}\\n'
big = folder / "big.jsonl"
with big.open("wb") as file:
    for _ in range(size // len(line)):
        file.write(line)

def sent(path):
    # In pieces, so that what grows is the server's memory and not this client's.
    import httpx2
    def body():
        yield (b'--b\\r\\nContent-Disposition: form-data; name="purpose"\\r\\n\\r\\nfine-tune\\r\\n'
               b'--b\\r\\nContent-Disposition: form-data; name="file"; filename="big.jsonl"\\r\\n\\r\\n')
        with path.open("rb") as file:
            while chunk := file.read(65536):
                yield chunk
        yield b"\\r\\n--b--\\r\\n"
    headers = {"authorization": f"Bearer {project.key}", "content-type": "multipart/form-data; boundary=b"}
    with httpx2.Client(timeout=120, trust_env=False) as http:
        return http.post(f"{root}/v1/files", content=body(), headers=headers).json()

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

with listening(create_app(parts.settings, open_parts=lambda _: parts)) as root:
    small = folder / "small.jsonl"
    small.write_bytes(line * 3)
    assert sent(small)["status"] == "processed"
    before = peak()
    made = sent(big)
    assert made["status"] == "processed" and made["bytes"] == big.stat().st_size, made
    print(peak() - before)
"""


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    command = [sys.executable, "-c", UPLOAD, str(tmp_path), str(100 * 2**20)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 16, f"100 MiB took {done.stdout} MiB more memory than 300 kB"


@on_sqlite
def test_an_upload_that_is_cut_off_leaves_nothing(live: LiveApi) -> None:
    address = urlsplit(live.url)
    head = (
        f"POST /v1/files HTTP/1.1\r\nhost: tunery\r\nauthorization: Bearer {live.project.key}\r\n"
        "content-type: multipart/form-data; boundary=b\r\ncontent-length: 100000\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n'
    )
    connection = socket.create_connection((address.hostname, address.port), timeout=10)
    connection.sendall(head.encode() + b"x" * 50_000)
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(65536):
        pass
    connection.close()
    assert live.openai().files.list().data == []
    assert list(live.parts.store.list()) == []


@on_sqlite
def test_a_file_over_the_limit_is_413_and_its_sender_gets_to_read_that(
    parts: Parts, project: Project
) -> None:
    small = with_settings(parts, max_file_bytes=2**20)
    with listening(create_app(small.settings, open_parts=lambda _: small)) as url:
        client = LiveApi(url, small, project).openai()
        for size, message in (
            (2**20 + 1, "1048577 bytes; at most 1048576"),
            (3 * 2**20, "at most 2097152 bytes"),
        ):
            with pytest.raises(openai.APIStatusError, match=message) as error:
                client.files.create(file=("a.bin", b"x" * size), purpose="user_data")
            assert (error.value.status_code, error.value.code) == (413, "request_too_large")
        assert client.files.create(file=("a.bin", b"x" * 2**20), purpose="user_data").bytes == 2**20
