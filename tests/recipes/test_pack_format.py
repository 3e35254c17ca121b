from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forge.errors import PackError
from forge.spec.pack_format import MANIFEST, decode, encode, in_order, is_member_name

NAMES = st.from_regex(r"\A(recipes/[a-z0-9]{1,8}\.yaml|evidence/[a-z]{1,8}-[1-9]\.json)\Z")


@given(st.dictionaries(NAMES, st.binary(max_size=2000), max_size=5))
def test_files_come_back_as_they_were_and_in_one_order(files: dict[str, bytes]) -> None:
    members = {**files, MANIFEST: b"{}\n"}
    content = encode(members)
    assert decode(content, "x") == members
    assert list(decode(content, "x")) == in_order(members)
    assert encode(dict(reversed(members.items()))) == content


@given(st.binary(max_size=3000))
def test_bytes_of_any_kind_are_a_pack_or_one_line(content: bytes) -> None:
    with pytest.raises(PackError) as caught:
        decode(content, "x")
    assert len(caught.value.lines) == 1


@given(
    st.integers(0, 2047),
    st.sampled_from([b"\0", b"7", b"-", b"\xff", b"/"]),
    st.sampled_from([1, 8, 100, 512]),
)
def test_a_pack_with_anything_changed_is_itself_or_refused(at: int, filler: bytes, length: int) -> None:
    good = encode({MANIFEST: b"{}\n", "recipes/x.yaml": b"seed: 1\n"})
    content = good[:at] + filler * length + good[at + length :]
    try:
        members = decode(content, "x")
    except PackError:
        return
    assert encode(members) == content


def test_tar_reads_it(tmp_path: Path) -> None:
    (tmp_path / "x.forge").write_bytes(encode({MANIFEST: b"{}\n", "recipes/x.yaml": b"seed: 1\n"}))
    subprocess.run(["tar", "xf", "x.forge"], cwd=tmp_path, check=True)
    assert (tmp_path / "recipes/x.yaml").read_text() == "seed: 1\n"
    assert (tmp_path / MANIFEST).stat().st_mtime == 0


@pytest.mark.parametrize(
    "name",
    ["", "x.yaml", "recipes/x.yml", "recipes/a/x.yaml", "recipes/.x.yaml", "Recipes/x.yaml", "conf/x.yaml",
     "conf/a/b/x.yaml", "recipes/x.yaml\n", "recipes/ä.yaml", "recipes/" + "x" * 41 + ".yaml", "evidence/x.yaml",
     "installed.json", "recipes/x y.yaml", "recipes\\x.yaml"],
)  # fmt: skip
def test_a_name_that_no_file_of_a_pack_has(name: str) -> None:
    assert not is_member_name(name)
