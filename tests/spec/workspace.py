"""A folder to compose in, with a conf that stands still while the shipped one changes."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from forge.errors import SpecError
from forge.spec.compose import compose_spec
from forge.spec.safe_yaml import parse
from forge.spec.schema import spec_schema
from forge.spec.search_path import Root, SearchPath
from forge.spec.types import Spec

CONF = Path(__file__).parent / "conf"
BASE_OPTIONS = {
    "data": "folder",
    "tokenizer": "bpe_32k",
    "model": "llama_25m",
    "hardware": "local",
    "train": "pretrain",
    "engine": "auto",
    "evaluate": "held_out",
    "export": "hf",
    "sweep": "grid",
    "launch": "local",
}


@dataclass(frozen=True)
class Workspace:
    """The working directory of a test."""

    folder: Path
    conf: Path

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file below the folder, and the folders it needs."""
        file = self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
        return file

    def search_path(self) -> SearchPath:
        """Return conf and the recipes of this folder, without forge's own."""
        return SearchPath(
            (
                Root(self.folder / "my_conf", "", "conf", "my_conf"),
                Root(self.conf, "", "conf", "conf"),
                Root(self.folder / "recipes", "recipe", "recipe", "recipes"),
            )
        )

    def compose(self, *overrides: str) -> Spec:
        """Compose with the files written so far."""
        return compose_spec(overrides, self.search_path())

    def complaints(self, *overrides: str) -> tuple[str, ...]:
        """Return the lines that composing ends with; () where the spec is good."""
        try:
            self.compose(*overrides)
        except SpecError as error:
            return error.lines
        return ()


def frozen_conf(folder: Path) -> Path:
    """Copy the tests' conf to `folder`, and add keys that the schemas have gained since, at their defaults."""
    shutil.copytree(CONF, folder)
    schema = spec_schema()
    for group, option in BASE_OPTIONS.items():
        file = folder / group / f"{option}.yaml"
        text = file.read_text(encoding="utf-8")
        known = parse(text).values
        for key, node in schema.root["properties"][group]["properties"].items():
            if key not in known:
                text += f"{key}: {json.dumps(node['default'])}\n"
        file.write_text(text, encoding="utf-8")
    return folder
