"""What the operator's rules grant, and which settings are refused."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from cluster.contracts.errors import InvalidConfiguration
from service.db.organization.identity import Grant
from service.oidc.issuers import Issuer, grants
from service.settings import checked_settings
from tests.service.oidc.issuing import issuer_with


def rule(project: str = "a", scopes: list[str] | None = None, **claims: Any) -> dict[str, Any]:
    return {"claims": claims, "project": project, "scopes": scopes or ["read"]}


def projects(issuer: Issuer, claims: dict[str, Any]) -> list[str]:
    return [grant.project_id for grant in grants(issuer, claims)]


def test_every_claim_of_a_rule_must_match() -> None:
    issuer = issuer_with(rule(repository="acme/models", ref=["refs/heads/main", "refs/heads/next"]))
    assert projects(issuer, {"repository": "acme/models", "ref": "refs/heads/next"}) == ["a"]
    for claims in (
        {},
        {"repository": "acme/models"},
        {"repository": "acme/models", "ref": "refs/heads/mine"},
        {"repository": "acme/models-evil", "ref": "refs/heads/main"},
        {"repository": {"acme/models": 1}, "ref": "refs/heads/main"},
        {"repository": 7, "ref": "refs/heads/main"},
    ):
        assert projects(issuer, claims) == []


def test_a_claim_may_be_a_list_or_within_another() -> None:
    issuer = issuer_with(rule("a", groups="/ml"), rule("b", **{"realm_access.roles": "trainer"}))
    assert projects(issuer, {"groups": ["/x", "/ml", 3]}) == ["a"]
    assert projects(issuer, {"realm_access": {"roles": ["trainer"]}}) == ["b"]
    assert projects(issuer, {"realm_access.roles": "trainer"}) == ["b"]
    for claims in ({"groups": ["/ml/x"]}, {"groups": [["/ml"]]}, {"realm_access": "roles"}):
        assert projects(issuer, claims) == []


def test_rules_add_up_and_the_first_is_the_default() -> None:
    admin = {"claims": {"role": "boss"}, "project": "a", "organization_admin": True}
    issuer = issuer_with(
        rule("b", ["read"], x="1"), rule("a", ["infer"], x="1"), rule("b", ["write"], x="1"), admin
    )
    assert grants(issuer, {"x": "1"}) == (
        Grant("b", frozenset({"read", "write"}), is_admin=False),
        Grant("a", frozenset({"infer"}), is_admin=False),
    )
    assert grants(issuer, {"role": "boss"}) == (Grant("a", frozenset({"admin"}), is_admin=True),)


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "http://login.example.com"},
        {"issuer": "ftp://login.example.com"},
        {"issuer": "https://u:p@login.example.com"},
        {"issuer": "https://login.example.com/?x"},
        {"audience": ""},
        {"algorithms": ["HS256"]},
        {"algorithms": ["none"]},
        {"algorithms": []},
        {"rules": []},
        {"rules": [rule()]},
        {"rules": [rule(x=[])]},
        {"rules": [rule(scopes=["root"], x="1")]},
        {"rules": [{"claims": {"x": "1"}, "project": "a"}]},
        {"rules": [rule(x="1") | {"organization_admin": True}]},
        {"rule": []},
    ],
)
def test_settings_that_would_let_in_too_many_are_refused(changes: dict[str, Any]) -> None:
    good = {"issuer": "https://login.example.com", "audience": "tunery", "rules": [rule(x="1")]}
    Issuer.model_validate(good)
    with pytest.raises(ValidationError):
        Issuer.model_validate(good | changes)


def test_issuers_are_read_from_a_variable_or_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    text = json.dumps({"issuer": "https://i.example.com", "audience": "a", "rules": [rule("p", x="1")]})
    monkeypatch.setenv("TUNERY_OIDC_ISSUERS", f"[{text}]")
    (read,) = checked_settings().oidc_issuers
    assert (read.audience, read.rules[0].scopes) == ("a", {"read"})
    monkeypatch.setenv("TUNERY_OIDC_ISSUERS", f"[{text}, {text}]")
    with pytest.raises(InvalidConfiguration, match="listed twice"):
        checked_settings()
    file = tmp_path / "issuers.toml"
    file.write_text(
        '[[issuers]]\nissuer = "https://i.example.com"\naudience = "a"\n'
        '[[issuers.rules]]\nclaims = { groups = "/ml" }\nproject = "p"\nscopes = ["read"]\n'
    )
    monkeypatch.setenv("TUNERY_OIDC_ISSUERS", str(file))
    assert [issuer.audience for issuer in checked_settings().oidc_issuers] == ["a"]
