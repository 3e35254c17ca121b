from datetime import date

from forge.data.statements import HEAD_LINES, TAIL_LINES, read_stated

BODY = "The lamp stands beside the door.\n\nWhoever leaves last puts it out.\n"


def test_version_and_dates_are_read() -> None:
    stated = read_stated(f"Version 2.1, 3 May 2024\nLast reviewed: 2025-02-03\n{BODY}")
    assert (stated.version, stated.dated, stated.reviewed) == ((2, 1), date(2024, 5, 3), date(2025, 2, 3))
    assert read_stated(f"Version 2 fixes the printer.\n{BODY}").version == ()


def test_only_the_head_and_the_tail_speak_of_the_document() -> None:
    many = BODY * (HEAD_LINES + TAIL_LINES)
    assert read_stated(f"{many}Version 3\n{many}").version == ()
    assert read_stated(f"{many}Version 3\n").version == (3,)
