"""Services that several areas' tests share, started once a session."""

from collections.abc import Iterator

import pytest

from tests.s3_servers import S3Endpoint, endpoint_from_environment, moto_server, rclone_server


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[S3Endpoint]:
    with moto_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Endpoint]:
    """A real S3 server: TEST_S3_ENDPOINT if that is set, else rclone's."""
    if endpoint := endpoint_from_environment():
        yield endpoint
    else:
        with rclone_server(tmp_path_factory.mktemp("s3")) as endpoint:
            yield endpoint
