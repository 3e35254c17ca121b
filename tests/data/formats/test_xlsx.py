from forge.data.formats.items import Document, Skipped
from forge.data.formats.spreadsheet_text import MAX_GAP_CELLS, row_text
from forge.data.formats.xlsx import _shown
from tests.data.formats.files import document, read, xlsx_of


def test_each_sheet_is_a_document() -> None:
    rows = (
        '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="inlineStr"><is><t>in line</t></is></c></row>'
        '<row r="2"><c r="A2"><v>0.1</v></c><c r="C2" t="b"><v>1</v></c></row>'
    )
    one, two = read("a.xlsx", xlsx_of({"Prices": rows, "Other": "<row><c><v>3.0</v></c></row>"}, ["שלום 🚀"]))
    assert isinstance(one, Document)
    assert isinstance(two, Document)
    assert (one.part, one.title, one.text) == (1, "Prices", "שלום 🚀\tin line\n0.1\t\tTRUE")
    assert (two.part, two.title, two.text) == (2, "Other", "3")
    assert (one.author, one.created) == ("Jane Doe", "2024-01-05T09:12:00Z")


def test_dates_are_dates_and_formulas_what_they_came_to() -> None:
    rows = (
        '<row><c s="1"><v>45296</v></c><c s="1"><v>45296.5</v></c><c s="0"><v>45296</v></c>'
        '<c><f>1+1</f><v>2</v></c><c><f>1/0</f></c><c t="e"><v>#N/A</v></c></row>'
    )
    assert document("a.xlsx", xlsx_of({"S": rows}, formats=[0, 14])).text == (
        "2024-01-05\t2024-01-05 12:00:00\t45296\t2\t\t#N/A"
    )


def test_shares_and_durations_are_read_as_they_are_shown() -> None:
    rows = '<row><c s="1"><v>0.15</v></c><c s="2"><v>1.5208333333333333</v></c><c s="0"><v>0.15</v></c></row>'
    assert document("a.xlsx", xlsx_of({"S": rows}, formats=[0, 10, 46])).text == "15%\t36:30:00\t0.15"


def test_formats_of_ones_own() -> None:
    codes = {
        "[h]:mm": "duration",
        "[Red]0.0%": "percent",
        "dd.mm.yyyy": "date",
        '#,##0 "mh"': None,
        "[$-407]mmm": "date",
    }
    assert {code: _shown(code) for code in codes} == codes


def test_a_cell_far_out_makes_no_long_line() -> None:
    assert row_text({0: "a", 16_383: "b"}) == "a" + "\t" * MAX_GAP_CELLS + "b"
    assert row_text({}) == ""
    assert row_text({1: "x\ny", 2: " "}) == "\tx y"


def test_a_broken_sheet_is_set_aside_and_the_next_is_read() -> None:
    one, two = read("a.xlsx", xlsx_of({"Bad": "<row>", "Good": "<row><c><v>1</v></c></row>"}))
    assert isinstance(one, Skipped)
    assert (one.part, one.reason) == (1, "broken office file")
    assert isinstance(two, Document)


def test_values_that_make_no_sense_are_kept_as_they_are() -> None:
    rows = '<row><c t="s"><v>99</v></c><c><v>many</v></c><c s="1"><v>1e300</v></c></row>'
    assert document("a.xlsx", xlsx_of({"S": rows}, formats=[0, 14])).text == "\tmany\t1e300"
