import numpy as np
import pyarrow as pa

from forge.data.boilerplate import (
    LEAST_DOCUMENTS,
    candidates,
    edge_hashes,
    group_of,
    packed,
    remove,
    repeated,
)
from forge.data.draft import Draft
from tests.data.builders import CORPUS, prose


def draft(number: int, text: str) -> Draft:
    return Draft(f"{number:016x}", "docs", f"a/{number}.txt", "text/plain", "", text)


def page(number: int) -> str:
    return f"ACME  Handbook, page {number} of 40\n\n{prose(number)}\n{prose(number + 100)}\n\n© ACME {number}"


def cleaned(drafts: list[Draft], fraction: float = 0.5) -> list[Draft]:
    groups = [group_of(one.source, one.path, one.mime) for one in drafts]
    edges = [packed(edge_hashes(one.text)) for one in drafts]
    borders = np.cumsum([0, *map(len, edges)])
    lines, bearers = repeated(groups, np.concatenate(edges), borders, fraction)
    assert set(bearers.tolist()) == {place for place in range(len(drafts)) if lines}
    for one in drafts:
        remove(one, lines, CORPUS)
    return drafts


def test_headers_and_footers_go_whatever_their_page_number() -> None:
    drafts = cleaned([draft(number, page(number)) for number in range(20)])
    for number, one in enumerate(drafts):
        assert one.text == f"{prose(number)}\n{prose(number + 100)}"
        assert one.changes[0].score == 2


def test_few_documents_prove_nothing() -> None:
    drafts = cleaned([draft(number, page(number)) for number in range(LEAST_DOCUMENTS - 1)])
    assert [one.text for one in drafts] == [page(number) for number in range(LEAST_DOCUMENTS - 1)]


def test_a_line_of_the_body_stays_however_often_it_is_said() -> None:
    clause = "THE SOFTWARE IS PROVIDED AS IS"
    texts = [
        "\n".join(
            [
                *(prose(10 * number + line) for line in range(5)),
                clause,
                *(prose(500 + 10 * number + line) for line in range(5)),
            ]
        )
        for number in range(20)
    ]
    assert [one.text for one in cleaned([draft(number, text) for number, text in enumerate(texts)])] == texts


def test_what_the_pages_of_one_document_share_goes() -> None:
    text = "\f".join(f"Report 7\n{prose(number)}\n{number}/9" for number in range(6))
    one = draft(0, text)
    remove(one, {}, CORPUS)
    assert one.text == "\f".join(prose(number) for number in range(6))
    assert one.changes[0].score == 12


def test_only_documents_that_would_change_are_looked_at_again() -> None:
    texts = [page(number) for number in range(30)]
    texts[3] = prose(3)  # has none of it
    texts[4] = f"{prose(4)}\nnot at the edge\f{prose(5)}\n© ACME 9\n\f{prose(6)}"
    texts[5] = f"{prose(7)}\f© ACME 3\n{prose(8)}"
    texts[6] = f"{prose(7)}\f{prose(8)}"
    drafts = [draft(number, text) for number, text in enumerate(texts)]
    edges = [packed(edge_hashes(one.text)) for one in drafts]
    groups = [group_of(one.source, one.path, one.mime) for one in drafts]
    lines, bearers = repeated(groups, np.concatenate(edges), np.cumsum([0, *map(len, edges)]), 0.5)
    table = pa.table(
        {
            name: [getattr(one, name) for one in drafts]
            for name in ("document_id", "source", "path", "mime", "text")
        }
    )
    found = candidates(table, lines, {drafts[place].document_id for place in bearers.tolist()}).tolist()
    for one in drafts:
        remove(one, lines, CORPUS)
    changed = [number for number, one in enumerate(drafts) if one.changes]
    assert set(changed) <= set(found)
    assert changed == [number for number in range(30) if number not in (3, 4, 6)]
    assert found == [number for number in range(30) if number != 3]
