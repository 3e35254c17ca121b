import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.data.redaction import redact
from forge.data.sensitive import ALL_KINDS, IBAN_LENGTHS, KINDS, find_values, iban, luhn

VALUES = {
    "private_key": "-----BEGIN RSA PRIVATE KEY-----\nMIIEow+/=\nabc\n-----END RSA PRIVATE KEY-----",
    "aws_key": "AKIA" + "IOSFODNN7QXZMPLE",
    "github_token": "ghp_" + "a1B2" * 9,
    "gitlab_token": "glpat-" + "x1Y2z" * 4,
    "slack_token": "xoxb-" + "523456789012-abcDEF",
    "slack_webhook": "https://hooks.slack.com/services/T00/B00/xyz",
    "stripe_key": "sk_live_" + "a1" * 12,
    "google_key": "AIza" + "aB3_-" * 7,
    "openai_key": "sk-proj-" + "aB3xYz9Q" * 5,
    "huggingface_token": "hf_" + "aB3" * 11,
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abc-DEF_123",
    "card": "4539 5787 6362 1486",
    "iban": "DE89 3704 0044 0532 0130 00",
    "us_ssn": "078-05-1120",
    "email": "jane.doe+x@mail.example.co.uk",
    "phone": "+49 30 901820",
    "ip_address": "81.169.145.66",
}


@pytest.mark.parametrize(("kind", "value"), VALUES.items())
def test_a_value_in_a_sentence_is_found_whole(kind: str, value: str) -> None:
    text = f"Größe ☕: see from {value}, and no more."
    (found,) = find_values(text, (kind,))
    assert (found.kind, found.value) == (kind, value)
    assert text[found.start : found.end] == value
    assert redact(text, (kind,), None)[0] == f"Größe ☕: see from <{kind.upper()}_1>, and no more."


def test_every_kind_has_an_example_or_a_test() -> None:
    assert set(KINDS) - set(VALUES) == {"password", "url_password"}


@pytest.mark.parametrize(
    "text",
    [
        "The password: is set by the administrator.",
        "password: changeitsoon",  # words, no secret
        "4111 1111 1111 1112 is no card, 1234567890123456 neither",
        "GB82 WEST 1234 5698 7654 33 has wrong check digits",
        "version 1.2.3.4567 and section 2.1.10",
        "password=getpass.getpass()",
        'password = os.environ["DB_PASSWORD"]',
        "api_key: decrypt_v2(name)",
        "clone git@github.com:forge/forge.git, or ask support@corp.com",
        "the visa test card 4242 4242 4242 4242",
        "kernel 81.169.145.66 and version 5.15.0.91",
        "1.2.2.1 Support Package",
        "10.0.0.8 - - [05/Jan/2024] GET /",
        "password: <your password>",
        "redis://me:${PASSWORD}@db/0",
        "000-12-3456 and 666-12-3456 and 123-00-3456",
        "write to user@localhost or @handle",
        "in 1999-2004, pp. 100-120, ISBN 978-3",
    ],
)
def test_what_looks_alike_stays(text: str) -> None:
    assert find_values(text) == []


def test_check_sums() -> None:
    assert luhn("4111111111111111")
    assert not luhn("4111111111111112")
    assert not luhn("0000000000000000")
    assert iban("GB82WEST12345698765432")
    assert not iban("GB82WEST12345698765433")


@given(text=st.text(alphabet="a@.ü1 -+🙂0x"))
def test_values_never_overlap_and_are_where_they_are_said_to_be(text: str) -> None:
    last = 0
    for found in find_values(text, ALL_KINDS):
        assert last <= found.start < found.end
        assert text[found.start : found.end] == found.value
        last = found.end


def test_neighbours_are_all_found() -> None:
    text = "078-05-1120 219-09-9999\n81.169.145.66 - GET\n81.169.145.67 - GET"
    assert [one.kind for one in find_values(text)] == ["us_ssn", "us_ssn", "ip_address", "ip_address"]


def test_a_word_after_an_account_is_not_part_of_it() -> None:
    (found,) = find_values("IBAN DE89370400440532013000 BIC COBADEFFXXX")
    assert found.value == "DE89370400440532013000"
    assert IBAN_LENGTHS["DE"] == len(found.value)


@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAoIB\n",
        'key: "-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0B\\n-----END PRIVATE KEY-----"',
    ],
)
def test_nothing_of_a_key_stays_though_its_end_is_cut_off_or_its_lines_are_escaped(text: str) -> None:
    assert "MII" not in redact(text, ("private_key",), None)[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("(password: Foo123!bar)", "Foo123!bar"),
        ("CLIENT_SECRET=q8Zt4Lw0pX.", "q8Zt4Lw0pX"),
        ("tel 030 1234-5678 please", "030 1234-5678"),
        ("call 415-555-0132.", "415-555-0132"),
        ("postgres://svc:k3yv4lue@db.internal/x", "k3yv4lue"),
    ],
)
def test_the_value_ends_where_it_ends(text: str, value: str) -> None:
    assert [one.value for one in find_values(text)] == [value]
