"""Made-up secrets and personal data of the right form; none opens anything."""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Callable

ALNUM = string.ascii_letters + string.digits


def _text(rng: random.Random, alphabet: str, count: int) -> str:
    return "".join(rng.choices(alphabet, k=count))


def _card(rng: random.Random) -> str:
    digits = [int(d) for d in rng.choice(["4539", "4716", "5425", "5212"]) + _text(rng, string.digits, 11)]
    total = sum(d if place % 2 else sum(divmod(2 * d, 10)) for place, d in enumerate(digits))
    digits.append(-total % 10)
    text = "".join(map(str, digits))
    return rng.choice([text, " ".join(text[n : n + 4] for n in range(0, 16, 4))])


def _iban(rng: random.Random) -> str:
    account = _text(rng, string.digits, 18)
    check = 98 - int(f"{account}131400") % 97
    text = f"DE{check:02}{account}"
    return rng.choice([text, " ".join(text[n : n + 4] for n in range(0, 22, 4))])


def _jwt(rng: random.Random) -> str:
    parts = [
        {"alg": "HS256", "typ": "JWT"},
        {"sub": _text(rng, string.digits, 9), "iat": rng.randint(10**9, 2 * 10**9)},
    ]
    encoded = [base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts]
    return ".".join([*encoded, _text(rng, ALNUM + "-_", 43)])


def _private_key(rng: random.Random) -> str:
    body = "\n".join(_text(rng, ALNUM + "+/", 64) for _ in range(6))
    kind = rng.choice(["RSA ", "EC ", "OPENSSH ", ""])
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----"


def _phone(rng: random.Random) -> str:
    a, b, c = rng.randint(170, 179), rng.randint(100, 999), rng.randint(1000, 9999)
    return rng.choice([f"+49 {a} {b}{c}", f"+1 (415) {b}-{c}", f"+44 20 {rng.randint(7000, 7999)} {c}"])


def _connection(rng: random.Random) -> str:
    scheme = rng.choice(["postgresql", "mysql", "mongodb", "redis"])
    login = f"svc_{_text(rng, string.ascii_lowercase, 5)}:{_text(rng, ALNUM, 14)}"
    return f"{scheme}://{login}@db{rng.randint(1, 9)}.internal/prod"


def maker(
    domain: str, first: tuple[str, ...], last: tuple[str, ...]
) -> dict[str, Callable[[random.Random], str]]:
    """Return a source of values for each kind."""
    return {
        "email": lambda rng: f"{rng.choice(first)}.{rng.choice(last)}@{domain}".lower(),
        "phone": _phone,
        "iban": _iban,
        "card": _card,
        "us_ssn": lambda rng: f"{rng.randint(100, 665)}-{rng.randint(10, 99)}-{rng.randint(1000, 9999)}",
        "aws_key": lambda rng: "AKIA" + _text(rng, string.ascii_uppercase + "234567", 16),
        "github_token": lambda rng: "ghp_" + _text(rng, ALNUM, 36),
        "slack_token": lambda rng: (
            f"xoxb-{_text(rng, string.digits, 12)}-{_text(rng, string.digits, 12)}-{_text(rng, ALNUM, 24)}"
        ),
        "stripe_key": lambda rng: "sk_live_" + _text(rng, ALNUM, 24),
        "jwt": _jwt,
        "private_key": _private_key,
        "password": lambda rng: _text(rng, ALNUM, 9) + rng.choice("!#%*") + _text(rng, string.digits, 2),
        "url_password": _connection,
    }
