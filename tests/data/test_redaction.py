import pytest

from forge.data.redaction import redact, redact_kinds
from forge.data.sensitive import ALL_KINDS, PERSONAL, SECRETS


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ('password = "hunter2hunter2"', 'password = "<PASSWORD_1>"'),
        ("api_key: 0123456789abcdef", "api_key: <PASSWORD_1>"),
        ("postgres://me:s3cret@db/x", "postgres://me:<URL_PASSWORD_1>@db/x"),
    ],
)
def test_of_a_setting_only_the_value_goes(text: str, redacted: str) -> None:
    assert redact(text, ALL_KINDS, None)[0] == redacted


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
