"""The account to migrate from: the API, and its key.

The account's key has its own variable and is never sent to Tunery; Tunery's key is never sent to the
account."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from service.cli.failures import AUTH, USAGE, CommandFailed

OPENAI_URL = "https://api.openai.com/v1"
KEY_VARIABLE = "TUNERY_SOURCE_API_KEY"
DEFAULT_API_VERSION = "2024-10-21"
"""Azure's newest dated version that is not a preview."""


@dataclass(frozen=True)
class Account:
    base_url: str
    """Base of paths such as /files, without a slash at the end."""
    headers: Mapping[str, str] = field(repr=False)
    query: Mapping[str, str]
    """Sent with every request."""
    has_deployments: bool = False
    """Whether the path of generation requests contains the model, as in Azure's dated versions."""

    @property
    def host(self) -> str:
        return urlsplit(self.base_url).hostname or ""


def find_account(
    base_url: str | None,
    key_file: Path | None,
    environment: Mapping[str, str],
    *,
    is_azure: bool = False,
    api_version: str | None = None,
    organization: str | None = None,
    project: str | None = None,
) -> Account:
    """Raises CommandFailed if there is no key, or the URL is invalid or contains more than an address."""
    url = (base_url or ("" if is_azure else OPENAI_URL)).rstrip("/")
    parts = _split(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        example = "https://RESOURCE.openai.azure.com" if is_azure else OPENAI_URL
        raise CommandFailed(f"Give --from-base-url the URL of the account, such as {example}.", USAGE)
    if "@" in parts.netloc or parts.query or parts.fragment:
        # The URL is stored in the archive, which is no place for a password.
        raise CommandFailed(
            "Give --from-base-url without a user, a password and a query. The key is read from "
            f"{KEY_VARIABLE} or --from-key-file.",
            USAGE,
        )
    key = _key(key_file, environment)
    if not is_azure:
        scope = {"openai-organization": organization, "openai-project": project}
        named = {name: value for name, value in scope.items() if value}
        return Account(url, {"authorization": f"Bearer {key}"} | named, {})
    if urlsplit(url).path.endswith("/v1"):
        return Account(url, {"api-key": key}, {"api-version": api_version} if api_version else {})
    url = url if urlsplit(url).path.endswith("/openai") else f"{url}/openai"
    return Account(
        url, {"api-key": key}, {"api-version": api_version or DEFAULT_API_VERSION}, has_deployments=True
    )


def _split(url: str) -> SplitResult | None:
    try:
        return urlsplit(url)
    except ValueError:
        return None


def _key(file: Path | None, environment: Mapping[str, str]) -> str:
    try:
        key = environment.get(KEY_VARIABLE, "") if file is None else file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandFailed(f"Cannot read the key: {error}", USAGE) from error
    key = key.strip()
    if not key:
        raise CommandFailed(
            f"Set {KEY_VARIABLE} to a key of the account that you leave, or give --from-key-file.", AUTH
        )
    if not (key.isascii() and key.isprintable()):
        raise CommandFailed("The key of the account has characters that no key has.", USAGE)
    return key
