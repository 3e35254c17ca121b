import ftfy
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.data.repair import fixes, repair


@pytest.mark.parametrize(
    "text",
    [
        "“Licensor” means the Author’s heirs – see § 7(2)…",
        "&lt;year&gt; &amp; &copy; holder",
        "ﬁnal ofﬁce, ＡＢＣ, №, ½, ™",
        "a\tb\n\n\n  indented   and spaced  \n",
        "l'œuvre, Größe, łódź, 契約書「第一条」, हिन्दी",
        "x ^ y ~= z | `code` \\n {a: [1]}",
        "soft\xadhyphen and no\xa0break",
    ],
)
def test_what_an_author_wrote_stays(text: str) -> None:
    assert repair(text) == text


@pytest.mark.parametrize(
    ("broken", "mended"),
    [
        ("the licensorâ€™s â€œWorkâ€\x9d", "the licensor’s “Work”"),
        ("KÃ¼ndigung fÃ¼r die GrÃ¶ÃŸe", "Kündigung für die Größe"),
        ("author\x92s", "author’s"),
        ("one\r\ntwo\rthree\u2028four", "one\ntwo\nthree\nfour"),
        ("e\u0301tat", "état"),
        ("a\x00b\x07c\ufeff", "abc"),
        ("\x1b[31mred\x1b[0m", "red"),
    ],
)
def test_what_a_machine_broke_is_mended(broken: str, mended: str) -> None:
    assert repair(broken) == mended


@given(
    st.one_of(
        st.text(st.characters(max_codepoint=127)),
        st.text(alphabet="a –—‘’“”…•→"),
        st.text(alphabet="ab\n\r\x1b[m\u0301éâ€™\u2028\x85\ud800"),
    )
)
def test_the_quick_way_for_plain_lines_changes_nothing(text: str) -> None:
    assert repair(text) == ftfy.fix_text(text, fixes())
