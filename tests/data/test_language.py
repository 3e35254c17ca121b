import pytest

from forge.data.language import UNKNOWN, check_languages, detect, language_of, other_language
from forge.errors import StageError
from tests.data.builders import CORPUS

TEXTS = {
    "en": "The supplier shall notify the customer in writing of every delay that may affect the date of delivery.",
    "de": "Der Lieferant benachrichtigt den Kunden schriftlich über jede Verzögerung, die den Liefertermin betrifft.",
    "fr": "Le fournisseur informe le client par écrit de tout retard susceptible d'affecter la date de livraison.",
    "ja": "供給者は、納期に影響を及ぼす可能性のある遅延について、書面で顧客に通知しなければならない。",
}


@pytest.mark.parametrize(("language", "text"), TEXTS.items())
def test_the_language_of_a_sentence(language: str, text: str) -> None:
    found, confidence = detect(text)
    assert found == language
    assert confidence > 0.65


def test_others_are_set_aside_with_the_confidence() -> None:
    parameters = CORPUS | {"languages": ["en", "fr"]}
    assert other_language(TEXTS["en"], parameters) is None
    finding = other_language(TEXTS["de"], parameters)
    assert finding is not None
    assert finding.detail == f"de with confidence {finding.score:.2f}, languages is en, fr"


@pytest.mark.parametrize("text", ["", " \n", "x = 1; y[2] += z"])
def test_a_text_that_is_no_language_stays(text: str) -> None:
    assert other_language(text, CORPUS | {"languages": ["de"]}) is None


def test_the_head_of_a_long_text_does_not_decide() -> None:
    text = TEXTS["en"] * 10 + TEXTS["de"] * 60 + TEXTS["en"] * 10
    assert detect(text)[0] == "de"


def test_capitals_are_read_and_numbers_are_no_language() -> None:
    assert language_of(TEXTS["en"].upper()) == "en"
    assert language_of(TEXTS["de"]) == "de"
    assert language_of("12 34 56 -- 78") == UNKNOWN


def test_no_language_named_is_one_line() -> None:
    with pytest.raises(StageError, match=r"data\.languages: is null"):
        check_languages(CORPUS)
