"""Fetch about 74 MB of real documentation and legal text: what the data benchmarks are run on.

    python -m benchmarks.documentation FOLDER

Debian's linux-doc-6.1 (`apt-get download`, GPL-2) and the licence texts and notices of the PyPI package
licensedcode-data (installed with forge's `demo` extra, CC-BY-4.0). One .jsonl a source, in a stable order; files that
hold no text, or the same bytes as an earlier one, are left out.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import importlib.util
import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from forge.data.formats.front_matter import FrontMatterError, split_front_matter

DEBIAN_PACKAGE = "linux-doc-6.1"
TEXT_SUFFIXES = {".rst", ".txt", ".yaml"}


def fetch(folder: Path) -> dict[str, Path]:
    """Write the sources that are not in `folder` yet; return them by name."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = {"linux": _linux, "licences": _licences}
    for name, texts in sources.items():
        path = folder / f"{name}.jsonl"
        if path.exists():
            continue
        seen: set[bytes] = set()
        temporary = path.with_suffix(".tmp")
        with temporary.open("w", encoding="utf-8") as file:
            for relative, text in texts():
                digest = hashlib.sha256(text.encode()).digest()
                if text.strip() and digest not in seen:
                    seen.add(digest)
                    record = {"id": f"{name}/{relative}", "text": text}
                    file.write(json.dumps(record, ensure_ascii=False) + "\n")
        temporary.rename(path)
    return {name: folder / f"{name}.jsonl" for name in sources}


def _linux() -> Iterator[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as place:
        subprocess.run(["apt-get", "download", DEBIAN_PACKAGE], cwd=place, check=True, capture_output=True)
        (package,) = Path(place).glob("*.deb")
        root = Path(place) / "tree"
        subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True)
        for path in sorted(root.rglob("*")):
            name = path.name.removesuffix(".gz")
            if path.is_symlink() or not path.is_file() or Path(name).suffix not in TEXT_SUFFIXES:
                continue
            content = path.read_bytes()
            if path.suffix == ".gz":
                content = gzip.decompress(content)
            # Sphinx keeps a copy of each source beside the HTML.
            relative = path.relative_to(root).as_posix()
            if "/_sources/" not in relative:
                yield relative, content.decode("utf-8", errors="replace")


def _licences() -> Iterator[tuple[str, str]]:
    spec = importlib.util.find_spec("licensedcode")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("licensedcode-data is not installed: pip install forge-run[demo]")
    root = Path(spec.submodule_search_locations[0]) / "data"
    for path in sorted([*root.rglob("*.LICENSE"), *root.rglob("*.RULE")]):
        text = path.read_text(encoding="utf-8")
        try:
            _, text = split_front_matter(text)
        except FrontMatterError:
            continue
        yield path.relative_to(root).as_posix(), text


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    for source, written in fetch(parser.parse_args().folder).items():
        print(f"{source}: {written} {written.stat().st_size / 1e6:.1f} MB")
