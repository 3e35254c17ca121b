import random

import pytest
from selectolax.lexbor import LexborHTMLParser

from forge.data.formats.page_text import (
    BLOCKS,
    CELLS,
    UNSEEN,
    VERBATIM,
    declared_charset,
    node_text,
    read_page,
)
from tests.data.formats.plain_page import plain_text

INLINE = "b i span a code xmp noembed math mi plaintext title colgroup x-y".split()
OFTEN = "p div pre td tr table textarea br object".split()
TAGS = [*sorted(BLOCKS | CELLS | UNSEEN | VERBATIM), *INLINE, *OFTEN * 3]
TEXTS = [
    *(
        " ",
        "  ",
        "\n",
        "\t",
        "\r",
        "\f",
        " \n ",
        "\n\n\n",
        "a",
        "b c",
        " d",
        "e ",
        "f\n",
        "\ng\t",
        "\t",
        "é\xa0",
        "漢 字",
    ),
    *(
        "&lt;",
        "&amp;gt;",
        "&nbsp;",
        "&#13;",
        "&#9;",
        "&#10;",
        "&#0;",
        "\0",
        "\0b",
        "\x01",
        "<!-- a>b -->",
        "<![CDATA[ x]]>",
    ),
    "\ufdd0",
]


def random_page(draw: random.Random) -> str:
    pieces = []
    for _ in range(draw.randrange(1, 40)):
        tag = draw.choice(TAGS)
        pieces.append(draw.choice([f"<{tag}>", f"<{tag} a='>'>", f"</{tag}>", *draw.choices(TEXTS, k=4)]))
    return "".join(pieces)


def text_of(html: str) -> str:
    return read_page(html)[0]


def test_inline_elements_do_not_cut_words() -> None:
    assert text_of("<p>un<b>break</b>able and <i>so</i> on</p>") == "unbreakable and so on"


def test_blocks_end_lines_and_white_space_collapses() -> None:
    assert text_of("<div><h1>A\n  title</h1><p>one  two<br>three</p>\n\n<p>four</p></div>") == (
        "A title\none two\nthree\nfour"
    )


def test_pre_keeps_its_shape() -> None:
    assert text_of("<p>code:</p><pre>if x:\n    y()\n</pre><p>end") == "code:\nif x:\n    y()\nend"


def test_tables_keep_cells_apart() -> None:
    assert text_of("<table><tr><td>a<td>b<tr><th>c<td>d</table>") == "a\tb\nc\td"


def test_paragraphs_in_cells_leave_a_row_one_line() -> None:
    row = "<tr><td><p>{}</p></td> <td><div><p>{}</p></div></td><td><br></td></tr>"
    page = (
        "<table><tbody>" + row.format("Jira", "Tom") + row.format("", "Ana<br/>") + "</tbody></table><p>end"
    )
    assert text_of(page) == "Jira\tTom\n\tAna\nend"


def test_a_table_that_lays_out_a_page_keeps_its_lines() -> None:
    page = "<table><tr><td>menu<td><table><tr><td><p>one</p><p>two</p></td></tr></table></td><td>ads</table>"
    assert text_of(page) == "menu\none\ntwo\n\tads"


def test_what_is_not_seen_is_left_out() -> None:
    assert (
        text_of("<style>x{}</style><script>bad()</script><p>seen<!-- not --></p><template>t</template>")
        == "seen"
    )


def test_entities_are_what_they_stand_for() -> None:
    assert text_of("<p>a &lt; b &amp; c&nbsp;d</p>") == "a < b & c\xa0d"


def test_title_and_language() -> None:
    page = "<html lang='de-AT'><head><title> Ein\nTitel </title></head><body>Text</body></html>"
    assert read_page(page) == ("Text", "Ein Titel", "de-AT")
    assert read_page("<p>x") == ("x", "", None)


def test_a_page_of_nothing() -> None:
    assert read_page("") == ("", "", None)


def test_nesting_deeper_than_python_recurses() -> None:
    assert text_of("<div>" * 5_000 + "deep" + "</div>" * 5_000) == "deep"


def test_the_declared_charset() -> None:
    assert declared_charset(b'<meta charset="windows-1251">') == "windows-1251"
    page = b"<META http-equiv='Content-Type' content='text/html; charset=iso-8859-2'>"
    assert declared_charset(page) == "iso-8859-2"
    assert declared_charset(b"<p>charset=x</p>") is None


def test_lists_and_navigation_are_kept() -> None:
    page = "<nav><ul><li>Home</ul></nav><main><p>First.</p><ol><li>one<li>two</ol></main>"
    assert text_of(page).split("\n") == ["Home", "First.", "one", "two"]


@pytest.mark.parametrize("seed", range(3))
def test_random_pages_read_as_node_by_node(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(800):
        page = random_page(draw)
        tree, again = LexborHTMLParser(page), LexborHTMLParser(page)
        if tree.root is not None:
            assert plain_text(tree.root) == node_text(again.root), page
        for name in ("pre", "div", "td", "textarea", "object"):  # a page's main part may be any element
            part, same = tree.css_first(name), LexborHTMLParser(page).css_first(name)
            if part is not None:
                assert plain_text(part) == node_text(same), (name, page)


def test_unseen_elements_in_unseen_elements() -> None:
    page = "a<object>b<object>c</object>d<svg>e</svg></object>f" + "<object>" * 20_000 + "g"
    assert text_of(page) == "af"


def test_white_space_without_end() -> None:
    assert text_of(f"<pre>a{' ' * 200_000}b</pre>") == f"a{' ' * 200_000}b"
    assert text_of(f"<p>a{' ' * 200_000}b") == "a b"
