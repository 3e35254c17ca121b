import pytest

from tests.data.formats.files import document


@pytest.mark.parametrize(
    ("name", "language", "mime"),
    [
        ("src/app.py", "Python", "text/x-python"),
        ("src/a.CPP", "C++", "text/x-cplusplus"),
        ("a/Makefile", "Make", "text/x-make"),
        ("a.cs", "C#", "text/x-csharp"),
        ("a.yml", "YAML", "text/x-yaml"),
    ],
)
def test_code_knows_its_language(name: str, language: str, mime: str) -> None:
    found = document(name, "x = 1\n")
    assert (found.text, found.metadata["programming_language"], found.mime) == ("x = 1\n", language, mime)
    assert found.title == name.rpartition("/")[2]


def test_code_that_shows_html_is_code() -> None:
    assert document("a.php", "<html><?php echo 1; ?></html>").text == "<html><?php echo 1; ?></html>"
