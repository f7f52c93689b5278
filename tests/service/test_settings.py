import pytest
from pydantic import ValidationError

from service.settings import Settings


def test_settings_come_from_variables_with_our_prefix_and_rays_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNERY_DATABASE_URL", "postgresql://somewhere/x")
    monkeypatch.setenv("TUNERY_CLUSTER_TOKEN", "canary-one")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "canary-two")
    settings = Settings()
    assert settings.database_url == "postgresql://somewhere/x"
    assert settings.cluster_token.get_secret_value() == "canary-one"
    assert settings.ray_auth_token is not None
    assert settings.ray_auth_token.get_secret_value() == "canary-two"
    assert "canary" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("training_slots", 0),
        ("lease_seconds", 0),
        ("organization", "no spaces: or colons"),
        ("max_attempts", -1),
    ],
)
def test_a_setting_out_of_its_range_is_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        Settings(**{name: value})
