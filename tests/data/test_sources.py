import subprocess
import sys
from pathlib import Path

import pytest

from forge.data.listing import SourceFile
from forge.data.sources import fetched, list_files, resolve_source
from forge.errors import StageError
from tests.data.builders import write_folder


def test_a_source_may_be_a_file(tmp_path: Path) -> None:
    path = write_folder(tmp_path, {"b.txt": "two"}) / "b.txt"
    (file,) = list_files(str(path))
    assert (file.relative, file.bytes, file.location) == ("b.txt", 3, str(path))


def test_an_absent_source_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"nowhere: does not exist: set data\.path"):
        resolve_source(str(tmp_path / "nowhere"))


def test_a_package_is_found_without_being_imported() -> None:
    assert (resolve_source("package:json/decoder.py")).name == "decoder.py"
    assert resolve_source("package:json").is_dir()


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("package:no_such_package_here/x", "is not installed: `pip install no_such_package_here`"),
        ("package:json/nothing", "package json has no nothing"),
        ("package:json/../os.py", "not of the form"),
        ("package:os.path/x", "not of the form"),
        ("package:json//etc", "not of the form"),
        ("package:", "not of the form"),
    ],
)
def test_a_wrong_package_source_is_one_line(source: str, line: str) -> None:
    with pytest.raises(StageError, match=line) as error:
        resolve_source(source)
    assert len(error.value.lines) == 1


def test_a_file_on_this_machine_is_read_where_it_lies(tmp_path: Path) -> None:
    path = write_folder(tmp_path, {"b.txt": "two"}) / "b.txt"
    with fetched(SourceFile("b.txt", str(path), 3, 0, "", "")) as found:
        assert found == path


def test_planning_needs_the_standard_library_only() -> None:
    heavy = ("numpy", "pyarrow", "torch", "yaml", "lxml", "pypdfium2")
    code = f"import sys, forge.data.fingerprint; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
