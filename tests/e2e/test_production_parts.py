"""The lifecycle of a model on PostgreSQL and S3."""

import pytest

from tests.e2e.lifecycle import check_lifecycle
from tests.e2e.server import running

pytestmark = pytest.mark.e2e


def test_openai_sdk_covers_the_whole_lifecycle_of_a_model_on_postgresql_and_s3(
    tmp_path, postgres_url, s3_endpoint
) -> None:
    environment = {
        "TUNERY_DATABASE_URL": postgres_url,
        "TUNERY_STORAGE_URL": f"s3://{s3_endpoint.bucket}/tunery",
        "TUNERY_STORAGE_ENDPOINT": s3_endpoint.url,
        "AWS_ACCESS_KEY_ID": s3_endpoint.access_key,
        "AWS_SECRET_ACCESS_KEY": s3_endpoint.secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with running(tmp_path / "data", **environment) as tunery:
        check_lifecycle(tunery.client())
        assert not (tmp_path / "data" / "tunery.db").exists()
        assert not (tmp_path / "data" / "objects").exists()
