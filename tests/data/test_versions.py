import pytest

from forge.data.versions import label, superseded


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("policy_v1.docx", "policy_v2.docx"),
        ("policy_v9.docx", "policy_v10.docx"),
        ("policy v1.2.pdf", "policy v1.10.pdf"),
        ("policy.docx", "policy_final.docx"),
        ("policy_final.docx", "policy_FINAL2.docx"),
        ("policy-draft.docx", "policy.docx"),
        ("policy 2021-03-01.md", "policy 2023-01.md"),
        ("report-20210301.txt", "report-20230101.txt"),
        ("policy.docx", "policy (1).docx"),
        ("Rev 1 plan.txt", "rev 2 Plan.txt"),
    ],
)
def test_a_later_version_ranks_higher_in_the_same_family(older: str, newer: str) -> None:
    one, two = label(f"a/{older}"), label(f"a/{newer}")
    assert one.family == two.family
    assert one.rank < two.rank


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("chapter-1.md", "chapter-2.md"),
        ("a/policy_v1.md", "b/policy_v2.md"),
        ("policy_v1.md", "policy_v2.pdf"),
        ("finality.md", "finale.md"),
        ("drafting.md", "ing.md"),
        ("invoice 1001.txt", "invoice 1002.txt"),
    ],
)
def test_other_documents_are_no_family(one: str, two: str) -> None:
    assert label(one).family != label(two).family


def found(names: list[str], dates: list[str] | None = None, alike: float = 0.9) -> list[tuple[int, int]]:
    pairs = [("docs", name) for name in names]
    result = superseded(pairs, dates or [""] * len(names), lambda one, two: alike, 0.5)
    return [(one.removed, one.kept) for one in result]


def test_the_newest_stays_and_the_others_name_it() -> None:
    assert found(["p_v2.md", "p_v3.md", "other.md", "p_v1.md"]) == [(0, 1), (3, 1)]


def test_texts_that_differ_are_no_versions() -> None:
    assert found(["p_v1.md", "p_v2.md"], alike=0.4) == []


def test_of_equal_names_nothing_is_newer_without_a_date() -> None:
    assert found(["p.md", "p.md"]) == []
