"""Identity providers whose tokens the API accepts, and what the operator's rules grant to whom."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from cluster.egress.destinations import EgressPolicy
from service.db.organization.identity import Grant
from service.db.organization.scopes import Scope

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
"""Only signatures that need a private key: whoever can check a token must not be able to make one."""
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    is_secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
    if not is_secure or not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("must be an https URL (http only on this machine) without user, query and fragment")
    return url


Url = Annotated[str, AfterValidator(_checked_url)]
Values = Annotated[
    tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)
]


class Rule(BaseModel):
    """What those may do whose tokens have certain claims."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    claims: dict[str, Annotated[Values, Field(min_length=1)]] = Field(min_length=1)
    """Required claims by name, or by names with dots between them for a claim within a claim: a value, or
    several of which one suffices. The claim must be equal to it or, if it is a list, have it. All claims must
    match."""
    project: str
    """Id of the project that they act in."""
    scopes: frozenset[Scope] = frozenset()
    """What they may do in it."""
    organization_admin: bool = False
    """Whether they may do everything in all projects of its organization, and manage it, as with an admin
    key. Without `OpenAI-Project` they act in `project`."""

    @model_validator(mode="after")
    def _grants_something(self) -> "Rule":
        if bool(self.scopes) == self.organization_admin:
            raise ValueError("a rule has either scopes or organization_admin = true")
        return self


class Issuer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: Url
    """As the claim `iss` has it, letter by letter."""
    audience: str = Field(min_length=1)
    """What the claim `aud` must be, or have."""
    algorithms: frozenset[Algorithm] = Field(default=frozenset({"RS256", "ES256"}), min_length=1)
    jwks_url: Url | None = None
    """Where its public keys are. By default, what `/.well-known/openid-configuration` under the issuer says.
    """
    rules: tuple[Rule, ...] = Field(min_length=1)
    """What all rules that match grant is added up. The first one says where someone acts by default."""

    @property
    def egress(self) -> EgressPolicy:
        """The issuer's own hosts may be anywhere, because the operator named them."""
        hosts = {urlsplit(url).hostname or "" for url in (self.issuer, self.jwks_url) if url is not None}
        return EgressPolicy.parse(hosts)


def grants(issuer: Issuer, claims: Mapping[str, Any]) -> tuple[Grant, ...]:
    """Returns what the issuer's rules grant for these claims, in the order of the rules."""
    found: dict[str, Grant] = {}
    for rule in issuer.rules:
        if not all(set(wanted) & set(_values(claims, name)) for name, wanted in rule.claims.items()):
            continue
        scopes: frozenset[Scope] = frozenset({"admin"}) if rule.organization_admin else rule.scopes
        so_far = found.get(rule.project, Grant(rule.project, frozenset(), False))
        is_admin = so_far.is_admin or rule.organization_admin
        found[rule.project] = Grant(rule.project, so_far.scopes | scopes, is_admin)
    return tuple(found.values())


def _values(claims: Mapping[str, Any], name: str) -> Iterator[str]:
    """The strings in a claim. A value that is neither a string nor a list of strings matches nothing."""
    found: Any = claims.get(name)
    if found is None:
        found = claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, dict) else None
    for value in found if isinstance(found, list) else [found]:
        if isinstance(value, str):
            yield value
