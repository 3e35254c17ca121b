"""What was tampered with is refused in one line, and nothing is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from forge.errors import PackError, SpecError
from forge.recipes.verify import Trust, verify_pack
from forge.spec.compose import compose_spec
from tests.recipes.kit import Kit, needs_ssh_keygen
from tests.recipes.tampering import CASES, NAME, Case

SECURITY = Path(__file__).parents[2] / "docs/security.md"

pytestmark = needs_ssh_keygen


@pytest.fixture
def known(kit: Kit) -> Kit:
    kit.know("maker")
    return kit


def test_the_pack_that_is_tampered_with_is_good(known: Kit) -> None:
    known.install(known.write(NAME, known.members()))
    assert compose_spec(["recipe=acme/legal"]).values["seed"] == 7


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_was_tampered_with_is_refused_in_one_line(case: Case, known: Kit) -> None:
    file = known.write(case.file_name, case.make(known, known.members()))
    before = known.everything()
    with pytest.raises(PackError) as caught:
        known.install(file)
    (line,) = caught.value.lines
    assert case.says in line
    assert line.isprintable()
    assert known.everything() == before


def _changed(kit: Kit) -> None:
    (kit.packs / "acme/1.2.0/recipes/legal.yaml").write_text("seed: 666\n")


def _added(kit: Kit) -> None:
    (kit.packs / "acme/1.2.0/recipes/more.yaml").write_text("seed: 666\n")


def _put_there(kit: Kit) -> None:
    (kit.packs / "acme/1.2.0/setup.py").write_text("import os\n")


def _linked(kit: Kit) -> None:
    file = kit.packs / "acme/1.2.0/recipes/legal.yaml"
    file.rename(kit.folder / "legal.yaml")
    file.symlink_to(kit.folder / "legal.yaml")


def _other_record(kit: Kit) -> None:
    record = kit.packs / "acme/1.2.0/installed.json"
    record.write_text(record.read_text().replace('"sha256": "', '"sha256": "0'))


def _other_folder(kit: Kit) -> None:
    (kit.packs / "acme/1.2.0").rename(kit.packs / "acme/1.3.0")


def _other_pin(kit: Kit) -> None:
    kit.lock("1.2.0", "0" * 64)


def _not_there(kit: Kit) -> None:
    kit.lock("1.1.0", "0" * 64)


AFTERWARDS = {
    "an installed recipe was changed": (_changed, "was changed after it was installed"),
    "a recipe was put into an installed pack": (_added, "was changed after it was installed"),
    "a program was put into an installed pack": (_put_there, "was changed after it was installed"),
    "an installed recipe became a link": (_linked, "was changed after it was installed"),
    "the record of an installed pack was changed": (_other_record, "was changed after it was installed"),
    "an installed pack was moved to another version": (_other_folder, "is acme 1.2.0 in the folder of acme 1.3.0"),
    "forge.lock pins other content than is installed": (_other_pin, "forge.lock pins acme 1.2.0 as 000000000000"),
    "forge.lock pins a version that is not installed": (_not_there, "which is not installed"),
}  # fmt: skip


@pytest.mark.parametrize("name", AFTERWARDS)
def test_what_was_changed_after_it_was_installed_is_refused_when_it_is_used(name: str, known: Kit) -> None:
    change, says = AFTERWARDS[name]
    known.install(known.write(NAME, known.members()))
    change(known)
    with pytest.raises(SpecError) as caught:
        compose_spec(["recipe=acme/legal"])
    (line,) = caught.value.lines
    assert says in line
    assert line.isprintable()


def test_every_bit_counts(known: Kit) -> None:
    """No bit of a pack can be turned: what is verified is the whole file."""
    content = known.write(NAME, known.members()).read_bytes()
    trust = Trust(known.allowed_signers)
    for at in range(0, len(content), 97):
        turned = bytearray(content)
        turned[at] ^= 1 << (at % 8)
        with pytest.raises(PackError):
            verify_pack(bytes(turned), NAME, trust, NAME)


def test_the_page_shows_this_table() -> None:
    section = SECURITY.read_text(encoding="utf-8").partition("## Packs\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", section, re.MULTILINE)[1:]
    expected = [(case.name, case.says) for case in CASES]
    expected += [(name, says) for name, (_, says) in AFTERWARDS.items()]
    assert [(name, says.strip("`")) for name, says in rows if name != "---"] == [
        (name, says.replace("`", "").strip()) for name, says in expected
    ]
    counted = re.search(r"(\d+) ways of tampering", section)
    assert counted is not None
    assert int(counted[1]) == len(expected)
