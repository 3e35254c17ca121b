import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.data.redaction import KINDS, PERSONAL, SECRETS, find_values, iban, luhn, redact, redact_kinds

ALL = tuple(KINDS)
VALUES = {
    "private_key": "-----BEGIN RSA PRIVATE KEY-----\nMIIEow+/=\nabc\n-----END RSA PRIVATE KEY-----",
    "aws_key": "AKIA" + "IOSFODNN7EXAMPLE",
    "github_token": "ghp_" + "a1B2" * 9,
    "gitlab_token": "glpat-" + "x1Y2z" * 4,
    "slack_token": "xoxb-" + "123456789012-abcDEF",
    "slack_webhook": "https://hooks.slack.com/services/T00/B00/xyz",
    "stripe_key": "sk_live_" + "a1" * 12,
    "google_key": "AIza" + "aB3_-" * 7,
    "openai_key": "sk-proj-" + "aB3" * 12,
    "huggingface_token": "hf_" + "aB3" * 11,
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc-DEF_123",
    "card": "4111 1111 1111 1111",
    "iban": "DE89 3704 0044 0532 0130 00",
    "us_ssn": "078-05-1120",
    "email": "jane.doe+x@mail.example.co.uk",
    "phone": "+49 30 901820",
    "ip_address": "192.168.10.254",
}


@pytest.mark.parametrize(("kind", "value"), VALUES.items())
def test_a_value_in_a_sentence_is_found_whole(kind: str, value: str) -> None:
    text = f"Größe ☕: see {value}, and no more."
    (found,) = find_values(text, (kind,))
    assert (found.kind, found.value) == (kind, value)
    assert text[found.start : found.end] == value
    assert redact(text, (kind,), None)[0] == f"Größe ☕: see <{kind.upper()}_1>, and no more."


def test_every_kind_has_an_example_or_a_test() -> None:
    assert set(KINDS) - set(VALUES) == {"password", "url_password"}


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ('password = "hunter2hunter2"', 'password = "<PASSWORD_1>"'),
        ("api_key: 0123456789abcdef", "api_key: <PASSWORD_1>"),
        ("postgres://me:s3cret@db/x", "postgres://me:<URL_PASSWORD_1>@db/x"),
    ],
)
def test_of_a_setting_only_the_value_goes(text: str, redacted: str) -> None:
    assert redact(text, ALL, None)[0] == redacted


@pytest.mark.parametrize(
    "text",
    [
        "The password: is set by the administrator.",
        "password: changeitsoon",  # words, no secret
        "4111 1111 1111 1112 is no card, 1234567890123456 neither",
        "GB82 WEST 1234 5698 7654 33 has wrong check digits",
        "version 1.2.3.4567 and section 2.1.10",
        "000-12-3456 and 666-12-3456 and 123-00-3456",
        "write to user@localhost or @handle",
        "in 1999-2004, pp. 100-120, ISBN 978-3",
    ],
)
def test_what_looks_alike_stays(text: str) -> None:
    assert redact(text, ALL, None) == (text, {})


def test_the_same_value_has_the_same_number() -> None:
    text = "a@x.org wrote to b@x.org; a@x.org waits"
    redacted, counts = redact(text, ("email",), None)
    assert redacted == "<EMAIL_1> wrote to <EMAIL_2>; <EMAIL_1> waits"
    assert counts == {"email": 3}


def test_a_salt_makes_it_the_same_in_all_texts_and_other_salts_differ() -> None:
    one, two = (redact(text, ("email",), "saltsalt")[0] for text in ("a@x.org", "b@x.org a@x.org"))
    assert two.split()[1] == one
    assert one != redact("a@x.org", ("email",), "pepperpepper")[0]
    assert "a@x" not in one


def test_groups_stand_for_all_of_theirs() -> None:
    assert redact_kinds({"redact_kinds": ["secrets"]}) == tuple(SECRETS)
    assert set(redact_kinds({"redact_kinds": ["personal", "jwt"]})) == {*PERSONAL, "jwt"}


def test_check_sums() -> None:
    assert luhn("4111111111111111")
    assert not luhn("4111111111111112")
    assert not luhn("0000000000000000")
    assert iban("GB82WEST12345698765432")
    assert not iban("GB82WEST12345698765433")


@given(text=st.text(alphabet="a@.ü1 -+🙂0x"))
def test_values_never_overlap_and_are_where_they_are_said_to_be(text: str) -> None:
    last = 0
    for found in find_values(text, ALL):
        assert last <= found.start < found.end
        assert text[found.start : found.end] == found.value
        last = found.end
