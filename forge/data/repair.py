"""Undoing what encodings and editors did to a text, and nothing an author did."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ftfy

PLAIN = re.compile(r"[\t\n -~–—‘’“”…•→]*")
"""Printable ASCII and common punctuation: none of the fixes above touches it, and looking costs ten times this look."""


def repair(text: str) -> str:
    """Return `text` with mojibake, controls and line ends mended, in Unicode normal form C.

    The tokenizer has no normaliser, so that servers agree with it to the byte; this is where text is normalised.
    """
    if PLAIN.fullmatch(text):
        return text
    import ftfy

    # ftfy works line by line; most lines of most texts need no look.
    lines = text.split("\n")
    last = len(lines) - 1
    return "".join(
        line + "\n" * (place < last)
        if PLAIN.fullmatch(line)
        else ftfy.fix_text(line + "\n" * (place < last), fixes())
        for place, line in enumerate(lines)
    )


@functools.cache
def fixes() -> ftfy.TextFixerConfig:
    """Return what is mended; loaded where there is something to look at.

    Legal and technical text means what it says to the character. Kept as they are: curly quotes, ligatures, full-width
    letters, HTML entities (a licence shows `&lt;year&gt;`), and damage where the original can only be guessed at.
    """
    import ftfy

    return ftfy.TextFixerConfig(
        unescape_html=False,
        remove_terminal_escapes=True,
        fix_encoding=True,
        restore_byte_a0=True,
        replace_lossy_sequences=False,
        decode_inconsistent_utf8=True,
        fix_c1_controls=True,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=True,
        fix_surrogates=True,
        remove_control_chars=True,
        normalization="NFC",
        explain=False,
    )
