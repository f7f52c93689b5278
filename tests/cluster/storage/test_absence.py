"""Stores whose policy makes absent objects look forbidden."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.contracts.errors import STORAGE_REFUSED, Unavailable
from cluster.storage.absence import check_absence
from cluster.storage.local import LocalStore
from cluster.storage.s3 import S3Store
from tests.faulty_proxy import Answer, FaultyProxy, faulty_proxy
from tests.s3_servers import S3Endpoint


@pytest.fixture
def proxy(moto_endpoint: S3Endpoint, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    for name, value in moto_endpoint.environment.items():
        monkeypatch.setenv(name, value)
    with faulty_proxy(moto_endpoint.url) as proxy:
        yield proxy


def test_a_store_that_tells_of_absent_objects_passes(tmp_path: Path) -> None:
    check_absence(LocalStore(tmp_path))


@pytest.mark.slow
def test_a_policy_without_the_right_to_list_is_named(proxy: FaultyProxy, moto_endpoint: S3Endpoint) -> None:
    store = S3Store(moto_endpoint.bucket, endpoint_url=proxy.url)
    check_absence(store)
    proxy.fault = lambda method, path: Answer(403)
    with pytest.raises(Unavailable, match="s3:ListBucket"):
        check_absence(store)
    denied = Answer(403, b"<Error><Code>AccessDenied</Code></Error>")
    proxy.fault = lambda method, path: denied
    with pytest.raises(Unavailable, match="s3:ListBucket"):
        store.get("jobs/absent")
    proxy.fault = lambda method, path: Answer(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
    with pytest.raises(Unavailable, match=r"SignatureDoesNotMatch\.$") as refused:
        store.get("jobs/absent")
    assert refused.value.code == STORAGE_REFUSED
