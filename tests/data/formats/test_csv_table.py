import pytest

from forge.data.formats.items import Document
from tests.data.formats.files import document, read


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_a_table_is_one_document_with_tabs(mark: str) -> None:
    rows = [["name", "city"], ["Jane", '"Graz, old town"' if mark == "," else "Graz, old town"], ["", "Wien"]]
    found = document("a.csv", "\r\n".join(mark.join(row) for row in rows))
    assert found.text == "name\tcity\nJane\tGraz, old town\n\tWien"
    assert found.mime == ("text/tab-separated-values" if mark == "\t" else "text/csv")


def test_a_column_of_text_makes_a_document_of_each_row() -> None:
    one, two = read("a.csv", 'id,Text,author\n1,"first\nline",Jane\n2,second,Bob\n')
    assert isinstance(one, Document)
    assert isinstance(two, Document)
    assert (one.part, one.text, one.author, one.metadata["id"]) == (1, "first\nline", "Jane", "1")
    assert (two.part, two.text) == (2, "second")


def test_cells_of_several_lines_at_the_end_of_a_row() -> None:
    found = document("a.csv", 'key,what\nA-1,"It stops.\nAgain\nand again."\nA-2,"x; y\nz"\n')
    assert found.text == "key\twhat\nA-1\tIt stops. Again and again.\nA-2\tx; y z"
    one, two = read("a.csv", 'id,text\n1,"first\nline"\n2,"second\nline"\n')
    assert isinstance(one, Document)
    assert isinstance(two, Document)
    assert (one.text, two.text) == ("first\nline", "second\nline")


def test_a_row_longer_than_what_is_looked_at() -> None:
    assert document("a.csv", 'key;what\n1;"' + "many, words\n" * 10_000 + '"\n').text.startswith("key\twhat")


def test_an_old_encoding() -> None:
    text = "Straße;Größe\n" + "Müllerstraße;groß\nKäsegäßchen;weiß für Möbel\n" * 20
    assert document("a.csv", text.encode("cp1252")).text.startswith("Straße\tGröße\nMüllerstraße\tgroß")


def test_an_empty_table() -> None:
    assert document("a.csv", "").text == ""
