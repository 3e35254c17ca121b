"""docs/reference.md says what the schemas say."""

from __future__ import annotations

import runpy
from pathlib import Path

from forge.spec.schema import spec_schema

DOCS = Path(__file__).resolve().parent.parent / "docs"


def test_the_reference_is_that_of_the_schemas() -> None:
    made = runpy.run_path(str(DOCS / "reference.py"))["reference"]()
    shown = (DOCS / "reference.md").read_text(encoding="utf-8")
    assert shown == made, "docs/reference.md is stale: python docs/reference.py"


def test_every_key_is_in_it() -> None:
    shown = (DOCS / "reference.md").read_text(encoding="utf-8")
    keys = [".".join(key) for key in spec_schema().leaves]
    assert [key for key in keys if f"| `{key}` |" not in shown] == []
