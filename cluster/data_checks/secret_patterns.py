"""Recognizes secrets and personal data by their patterns. Nothing here returns what was found."""

import re
from collections.abc import Callable
from typing import NamedTuple

_PRIVATE_KEY = re.compile(r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_API_KEY_SIGNS = (
    *("sk-", "akia", "asia", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "xox", "aiza"),
    *("hf_", "npm_", "pypi-", "k_live_", "k_test_", "sg.", "eyj"),
)
_API_KEY = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"sk-[A-Za-z0-9_-]{20}"  # OpenAI, Anthropic and many others
    r"|(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Za-z0-9])"  # AWS
    r"|gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22}|glpat-[A-Za-z0-9_-]{20}"
    r"|xox[abeoprs]-[A-Za-z0-9-]{10}"  # Slack
    r"|AIza[A-Za-z0-9_-]{35}"  # Google
    r"|hf_[A-Za-z0-9]{30}|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50}"
    r"|[rs]k_(?:live|test)_[A-Za-z0-9]{16}"  # Stripe
    r"|SG\.[A-Za-z0-9_-]{16,32}\.[A-Za-z0-9_-]{16}"  # SendGrid
    # JSON web token. It begins after what cannot be in one, so that no text is scanned for several.
    r"|(?<![_-])eyJ[A-Za-z0-9_-]{10,4096}+\.eyJ[A-Za-z0-9_-]{10}"
    r")"
)
_ASSIGNED = re.compile(
    r"(?:api[_-]?key|secret(?:[_-]?key)?|access[_-]?token|auth[_-]?token|passw(?:or)?d)"
    r"[\"']?\s{0,3}[:=]\s{0,3}[\"']?([A-Za-z0-9_\-+/.!$%&*]{12,200})",
    re.IGNORECASE,
)
_URL_CREDENTIALS = re.compile(r"://[^\s/:@\"'<>]{1,100}:[^\s/@\"'<>{}$*]{3,100}@")
_EMAIL = re.compile(r"(?<=[A-Za-z0-9_%+-])@((?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24})(?![A-Za-z0-9@])")
_MADE_UP_DOMAIN = re.compile(r"(?:.*\.)?(?:example\.(?:com|org|net)|example|test|invalid|localhost)", re.I)
_LOCAL_PART = re.compile(r"[A-Za-z0-9._%+-]{1,64}$")

_DIGITS = re.compile(r"[0-9](?:[ .()/-]{0,3}+[0-9]){6,}+")
"""A run that may hold a phone or card number. The pattern does not check what precedes it, so that it is
fast."""
_PHONE = re.compile(
    r"\+[1-9]\d{7,14}(?!\d|[.,]\d)|\+[1-9]\d{0,2}(?:[ .()/-]{1,2}\d{2,8}){2,5}(?!\d)"
    r"|(?<![\d.-])(?:\(\d{3}\) ?|\d{3}[.-])\d{3}[.-]\d{4}(?![\d.-]*\d)"
)
"""International, or North American."""
_CARD = re.compile(r"(?<!\d)\d{4}[ -]?\d{4,6}[ -]?\d{4,5}(?:[ -]?\d{1,4})?(?!\d)")
_CARD_LENGTHS = {"4": (13, 16, 19), "5": (16,), "2": (16,), "6": (16, 19), "3": (14, 15, 16)}
_IBAN = re.compile(r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![a-z0-9])")
_IBAN_LENGTHS = {
    **{"AE": 23, "AT": 20, "BE": 16, "BG": 22, "CH": 21, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "EE": 20},
    **{"ES": 24, "FI": 18, "FR": 27, "GB": 22, "GR": 27, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IS": 26},
    **{"IT": 27, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MT": 31, "NL": 18, "NO": 15, "PL": 28},
    **{"PT": 25, "RO": 24, "RS": 22, "SA": 24, "SE": 24, "SI": 19, "SK": 24, "TR": 26, "UA": 29},
}


class _Pattern(NamedTuple):
    code: str
    signs: tuple[str, ...]
    """Parts in lower case. A text without any of them has no match. Searching for them is faster than the
    pattern."""
    expression: re.Pattern[str]
    is_real: Callable[[re.Match[str]], bool]


def find_secrets(text: str) -> dict[str, int]:
    """Returns the codes of the rules that `text` breaks, each with the offset of its first match. Takes
    linear time."""
    found: dict[str, int] = {}
    lower = text.lower()
    for pattern in _PATTERNS:
        if pattern.code not in found and any(map(lower.__contains__, pattern.signs)):
            for match in pattern.expression.finditer(text):
                if pattern.is_real(match):
                    found[pattern.code] = _start(pattern, match)
                    break
    for run in _DIGITS.finditer(text):
        if (code := _kind_of_number(text, run.start(), run.end())) is not None:
            found.setdefault(code, run.start())
    return found


def has_secret(text: str) -> bool:
    return bool(find_secrets(text))


def _kind_of_number(text: str, start: int, end: int) -> str | None:
    before = text[start - 1 : start]
    if before in ("+", "("):
        start -= 1
        before = text[start - 1 : start]
    if before == "." or before.isalnum() or text[end : end + 1].isalnum():
        return None
    if (card := _CARD.search(text, start, end)) and _is_card(card.group()):
        return "card_number"
    if (phone := _PHONE.search(text, start, end)) and 8 <= sum(map(str.isdigit, phone.group())) <= 15:
        return "phone_number"
    return None


def _is_card(run: str) -> bool:
    digits = [int(character) for character in run if character.isdigit()]
    if len(digits) not in _CARD_LENGTHS.get(str(digits[0]), ()) or len(set(digits)) < 3:
        return False
    doubled = [digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_iban(match: re.Match[str]) -> bool:
    if match.string[match.start() - 1 : match.start()].isalnum():
        return False
    number = match.group().replace(" ", "")
    length = _IBAN_LENGTHS.get(number[:2])
    if length is None or len(number) < length:
        return False
    # Words in capitals may follow.
    number = number[:length]
    turned = number[4:] + number[:4]
    return int("".join(str(int(character, 36)) for character in turned)) % 97 == 1


def _is_password(match: re.Match[str]) -> bool:
    """Whether it looks random, with digits and letters."""
    value = match[1]
    return any(map(str.isdigit, value)) and any(map(str.isalpha, value))


def _is_personal(match: re.Match[str]) -> bool:
    """Whether it is neither invented nor the end of a URL's credentials."""
    before = match.string[max(0, match.start() - 200) : match.start()].split()
    if before and "://" in before[-1]:
        return False
    return _MADE_UP_DOMAIN.fullmatch(match[1]) is None


def _always(_: re.Match[str]) -> bool:
    return True


def _start(pattern: _Pattern, match: re.Match[str]) -> int:
    if pattern.expression is not _EMAIL:
        return match.start()
    local = _LOCAL_PART.search(match.string, max(0, match.start() - 64), match.start())
    return match.start() if local is None else local.start()


_PATTERNS = (
    _Pattern("private_key", ("private key",), _PRIVATE_KEY, _always),
    _Pattern("api_key", _API_KEY_SIGNS, _API_KEY, _always),
    _Pattern("api_key", ("api", "secret", "token", "passw"), _ASSIGNED, _is_password),
    _Pattern("url_credentials", ("://",), _URL_CREDENTIALS, _always),
    _Pattern("email_address", ("@",), _EMAIL, _is_personal),
    _Pattern("iban", ("",), _IBAN, _is_iban),
)
