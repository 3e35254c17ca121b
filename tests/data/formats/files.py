"""Small files of each format, made from their parts."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from forge.data.formats.items import Budget, Content, Document, Item, Skipped, Unreadable
from forge.data.formats.sniff import format_of
from forge.data.reading import FileReader

MAX_FILE_BYTES = 10_000_000


def content_of(name: str, raw: bytes | str, max_file_bytes: int = MAX_FILE_BYTES) -> Content:
    """Return a file in memory."""
    raw = raw.encode() if isinstance(raw, str) else raw
    return Content(name, raw, len(raw), Budget(len(raw), max_file_bytes))


def read(name: str, raw: bytes | str) -> list[Item]:
    """Return what the reader of a file yields, and what it raises as a last item."""
    content = content_of(name, raw)
    items: list[Item] = []
    try:
        items.extend(format_of(content).reader(content))
    except Unreadable as error:
        items.append(Skipped(0, error.reason, error.detail))
    return items


def document(name: str, raw: bytes | str) -> Document:
    """Return the one document of a file."""
    (found,) = read(name, raw)
    assert isinstance(found, Document), found
    return found


def reason(name: str, raw: bytes | str) -> str:
    """Return why nothing of a file is read."""
    (found,) = read(name, raw)
    assert isinstance(found, Skipped), found
    assert found.detail
    return found.reason


def read_deep(
    path: Path, name: str, raw: bytes | str, max_file_bytes: int = MAX_FILE_BYTES
) -> dict[str, Document | Skipped]:
    """Return what a file and the files in it hold, by the path below it; each holds one item."""
    path.mkdir(exist_ok=True)
    file = path / "file"
    file.write_bytes(raw.encode() if isinstance(raw, str) else raw)
    reader = FileReader(max_file_bytes, {}, lambda inside, size_bytes: None, {}, may_risk=True)
    items = list(reader.read(name, file, file.stat().st_size))
    found = dict(items)
    assert len(found) == len(items)
    assert reader.files == len(found)
    assert reader.files_with_documents == sum(isinstance(item, Document) for item in found.values())
    return found


def zip_of(files: Mapping[str, bytes | str]) -> bytes:
    """Return a zip file."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in files.items():
            archive.writestr(zipfile.ZipInfo(name, (2024, 1, 5, 9, 12, 0)), raw, zipfile.ZIP_DEFLATED)
    return stream.getvalue()


def pdf_of(pages: Sequence[Sequence[str]], info: str = "", catalogue: str = "", trailer: str = "") -> bytes:
    """Return a PDF in the standard font, a list of lines a page; `info`, `catalogue` and `trailer` are raw entries."""
    kids = " ".join(f"{4 + 2 * place} 0 R" for place in range(len(pages)))
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R {catalogue} >>".encode(),
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for place, lines in enumerate(pages):
        shown = b" ".join(b"(" + _escaped(line) + b") Tj T*" for line in lines)
        stream = b"BT /F1 12 Tf 72 720 Td 14 TL " + shown + b" ET"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * place} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>".encode()
        )
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
    objects.append(f"<< {info} >>".encode())
    raw = b"%PDF-1.4\n"
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(len(raw))
        raw += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    ending = f"trailer << /Size {len(objects) + 1} /Root 1 0 R /Info {len(objects)} 0 R {trailer} >>"
    return (
        raw
        + b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
        + table
        + ending.encode()
        + b"\nstartxref\n%d\n%%%%EOF" % len(raw)
    )


def _escaped(line: str) -> bytes:
    return line.encode("cp1252").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
A = "http://schemas.openxmlformats.org/drawingml/2006/main"
P = "http://schemas.openxmlformats.org/presentationml/2006/main"
S = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
CORE = (
    f'<cp:coreProperties xmlns:cp="{PACKAGE}/metadata/core-properties" xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:dcterms="http://purl.org/dc/terms/">'
    "<dc:title>The title</dc:title><dc:creator>Jane Doe</dc:creator><dc:language>de-AT</dc:language>"
    "<dcterms:created>2024-01-05T10:12:00+01:00</dcterms:created>"
    "<dcterms:modified>2024-02-01T00:00:00Z</dcterms:modified><cp:version>2.1</cp:version></cp:coreProperties>"
)


def relations_of(targets: Mapping[str, tuple[str, str]]) -> str:
    """Return a relations part: by id the last word of the kind, and the target."""
    rows = "".join(
        f'<Relationship Id="{key}" Type="{OFFICE}/{kind}" Target="{target}"/>'
        for key, (kind, target) in targets.items()
    )
    return f'<Relationships xmlns="{PACKAGE}/relationships">{rows}</Relationships>'


def package_of(main: str, parts: Mapping[str, bytes | str], core: str = CORE) -> bytes:
    """Return an Office package whose document is the part `main`."""
    return zip_of(
        {
            "[Content_Types].xml": "<Types/>",
            "_rels/.rels": relations_of(
                {"r1": ("officeDocument", main), "r2": ("metadata/core-properties", "docProps/core.xml")}
            ),
            "docProps/core.xml": core,
            **parts,
        }
    )


def docx_of(body: str, parts: Mapping[str, bytes | str] | None = None, core: str = CORE) -> bytes:
    """Return a DOCX whose body is the given XML (prefix w)."""
    xml = (
        f'<w:document xmlns:w="{W}" xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006">'
        f"<w:body>{body}</w:body></w:document>"
    )
    return package_of("word/document.xml", {"word/document.xml": xml, **(parts or {})}, core)


def paragraph(text: str) -> str:
    """Return a paragraph of a DOCX."""
    return f'<w:p><w:r><w:t xml:space="preserve">{text}</w:t></w:r></w:p>'


def xlsx_of(sheets: Mapping[str, str], strings: Sequence[str] = (), formats: Sequence[int] = ()) -> bytes:
    """Return an XLSX: by sheet name the XML of its rows, the shared strings, and the number format of each style."""
    names = "".join(
        f'<sheet name="{name}" sheetId="{number}" r:id="s{number}"/>'
        for number, name in enumerate(sheets, start=1)
    )
    parts: dict[str, Any] = {
        "xl/workbook.xml": f'<workbook xmlns="{S}" xmlns:r="{OFFICE}"><sheets>{names}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": relations_of(
            {
                f"s{number}": ("worksheet", f"worksheets/sheet{number}.xml")
                for number in range(1, len(sheets) + 1)
            }
            | {"t": ("sharedStrings", "sharedStrings.xml"), "f": ("styles", "/xl/styles.xml")}
        ),
        "xl/sharedStrings.xml": f'<sst xmlns="{S}">'
        + "".join(f"<si><t>{text}</t></si>" for text in strings)
        + "</sst>",
        "xl/styles.xml": f'<styleSheet xmlns="{S}"><cellXfs>'
        + "".join(f'<xf numFmtId="{number}"/>' for number in formats)
        + "</cellXfs></styleSheet>",
    }
    for number, rows in enumerate(sheets.values(), start=1):
        parts[f"xl/worksheets/sheet{number}.xml"] = (
            f'<worksheet xmlns="{S}"><sheetData>{rows}</sheetData></worksheet>'
        )
    return package_of("xl/workbook.xml", parts)


def pptx_of(slides: Sequence[str], notes: Mapping[int, str] | None = None) -> bytes:
    """Return a PPTX: the XML of the shapes of each slide (prefixes p and a), and notes by number from 1."""
    order = "".join(
        f'<p:sldId id="{255 + number}" r:id="s{number}"/>' for number in range(1, len(slides) + 1)
    )
    space = f'xmlns:p="{P}" xmlns:a="{A}" xmlns:r="{OFFICE}"'
    parts: dict[str, bytes | str] = {
        "ppt/presentation.xml": f"<p:presentation {space}><p:sldIdLst>{order}</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": relations_of(
            {f"s{number}": ("slide", f"slides/slide{number}.xml") for number in range(1, len(slides) + 1)}
        ),
    }
    for number, shapes in enumerate(slides, start=1):
        parts[f"ppt/slides/slide{number}.xml"] = f"<p:sld {space}><p:spTree>{shapes}</p:spTree></p:sld>"
    for number, text in (notes or {}).items():
        parts[f"ppt/slides/_rels/slide{number}.xml.rels"] = relations_of(
            {"n": ("notesSlide", f"../notesSlides/notesSlide{number}.xml")}
        )
        parts[f"ppt/notesSlides/notesSlide{number}.xml"] = (
            f"<p:notes {space}><p:spTree>{shape(text, 'body')}{shape('7', 'sldNum')}</p:spTree></p:notes>"
        )
    return package_of("ppt/presentation.xml", parts, core="<x/>")


def shape(text: str, placeholder: str = "") -> str:
    """Return a shape of a PPTX."""
    kind = f'<p:nvSpPr><p:nvPr><p:ph type="{placeholder}"/></p:nvPr></p:nvSpPr>' if placeholder else ""
    return f"<p:sp>{kind}<p:txBody><a:p><a:r><a:t>{text}</a:t></a:r></a:p></p:txBody></p:sp>"
