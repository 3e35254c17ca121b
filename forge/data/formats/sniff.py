"""Which reader a file is for. Its first bytes decide where they can; a name may lie."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass
from pathlib import PurePosixPath

from forge.data.decode import CONTROLS
from forge.data.formats.archives import TAR_MARK, TAR_MARK_AT, read_packed, read_tar, read_zip
from forge.data.formats.code import programming_language, read_code
from forge.data.formats.columnar import read_arrow, read_parquet
from forge.data.formats.csv_table import read_csv
from forge.data.formats.docx import read_docx
from forge.data.formats.items import Content, Reader, Unreadable
from forge.data.formats.mail import read_eml, read_mbox
from forge.data.formats.page import read_html
from forge.data.formats.pdf import read_pdf
from forge.data.formats.pptx import read_pptx
from forge.data.formats.records import read_json, read_jsonl
from forge.data.formats.text import read_licence, read_markdown, read_rst, read_text
from forge.data.formats.xlsx import read_xlsx
from forge.data.formats.zip_parts import DAMAGE

HEAD_BYTES = 4_096
PDF_MARK_WITHIN_BYTES = 1_024  # ISO 32000-1, Annex H, 3.4.1: what readers accept


@dataclass(frozen=True, slots=True)
class Format:
    """How a kind of file is read."""

    name: str
    reader: Reader
    is_risky: bool
    """Read in a process of its own: it unpacks, or is parsed by a library that a broken file could bring down."""
    is_text: bool = False


TEXT = Format("text", read_text, False, True)
HTML = Format("html", read_html, False, True)
CODE = Format("source code", read_code, False, True)
MARKDOWN = Format("markdown", read_markdown, False, True)
RST = Format("reStructuredText", read_rst, False, True)
LICENCE = Format("licence", read_licence, False, True)
JSON = Format("json", read_json, False, True)
JSONL = Format("json lines", read_jsonl, False, True)
CSV = Format("csv", read_csv, False, True)
EML = Format("e-mail", read_eml, True, True)
MBOX = Format("mailbox", read_mbox, True, True)
PDF = Format("pdf", read_pdf, True)
DOCX = Format("docx", read_docx, True)
PPTX = Format("pptx", read_pptx, True)
XLSX = Format("xlsx", read_xlsx, True)
PARQUET = Format("parquet", read_parquet, True)
ARROW = Format("arrow", read_arrow, True)
ZIP = Format("zip", read_zip, True)
TAR = Format("tar", read_tar, True)
PACKED = Format("packed file", read_packed, True)

BY_EXTENSION: dict[str, Format] = {
    **dict.fromkeys((".txt", ".text", ".log", ".asc"), TEXT),
    **dict.fromkeys((".md", ".markdown", ".mdx"), MARKDOWN),
    **dict.fromkeys((".rst", ".rest"), RST),
    **dict.fromkeys((".html", ".htm", ".xhtml"), HTML),
    **dict.fromkeys((".jsonl", ".ndjson"), JSONL),
    ".json": JSON,
    **dict.fromkeys((".csv", ".tsv", ".tab"), CSV),
    ".pdf": PDF,
    **dict.fromkeys((".docx", ".docm", ".dotx"), DOCX),
    **dict.fromkeys((".pptx", ".pptm", ".ppsx"), PPTX),
    **dict.fromkeys((".xlsx", ".xlsm", ".xltx"), XLSX),
    ".eml": EML,
    **dict.fromkeys((".mbox", ".mbx"), MBOX),
    ".parquet": PARQUET,
    **dict.fromkeys((".arrow", ".feather"), ARROW),
    ".zip": ZIP,
    ".tar": TAR,
    **dict.fromkeys((".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".tzst"), PACKED),
    **dict.fromkeys((".license", ".rule"), LICENCE),
}
"""By extension in lower case; those of programming languages are in `forge.data.formats.code`."""

MARKS: tuple[tuple[bytes, Format], ...] = (
    (b"\x1f\x8b", PACKED),
    (b"BZh", PACKED),
    (b"\xfd7zXZ\x00", PACKED),
    (b"\x28\xb5\x2f\xfd", PACKED),
    (b"PAR1", PARQUET),
    (b"ARROW1", ARROW),
)
OLE_MARK = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
NOT_READ: tuple[tuple[bytes, str], ...] = (
    (OLE_MARK, "an old Office file, or one under a password: save it as DOCX, PPTX or XLSX"),
    (b"{\\rtf", "RTF: save it as DOCX"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive: unpack it"),
    (b"Rar!", "a RAR archive: unpack it"),
    (b"%!PS", "PostScript: save it as PDF"),
    (b"!BDN", "an Outlook mailbox: export it as MBOX or EML"),
    (b"\x89PNG", "an image"),
    (b"\xff\xd8\xff", "an image"),
    (b"GIF8", "an image"),
    (b"II*\x00", "an image"),
    (b"MM\x00*", "an image"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\xca\xfe\xba\xbe", "a program"),
    (b"ID3", "sound"),
    (b"OggS", "sound"),
    (b"fLaC", "sound"),
    (b"RIFF", "sound or pictures"),
    (b"\x00\x00\x01\x00", "an image"),
    (b"SQLite format 3\x00", "a database"),
    (b"\x1aE\xdf\xa3", "a film"),
)
NOT_READ_BY_NAME = {
    ".msg": "an Outlook message: save it as EML",
    ".db": "what Windows keeps of pictures",
    ".vsdx": "a Visio drawing: save it as PDF",
    ".xlsb": "a binary workbook: save it as XLSX",
    ".one": "a OneNote section: save it as PDF or DOCX",
    **dict.fromkeys((".pages", ".numbers", ".key"), "an iWork file: save it as DOCX, XLSX or PPTX"),
    **dict.fromkeys((".heic", ".avif", ".psd"), "an image"),
    **dict.fromkeys((".mp4", ".mov", ".m4v", ".wmv"), "a film"),
    **dict.fromkeys((".woff", ".woff2", ".ttf", ".otf", ".eot"), "a font"),
}
"""What bytes that are no text are, where their first ones do not tell, or tell of a container alone."""
ODF_MARK, ODF_MARK_WITHIN_BYTES = b"mimetypeapplication/vnd.oasis.opendocument", 128
OWNER_FILE = "~$"
"""What Office calls a file that says who has the document of the same name open."""
SVG_HEAD = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!(?:--.*?--|DOCTYPE svg[^>]*)>\s*)*<svg\b", re.DOTALL
)
WHITE_SPACE = re.compile(rb"\s")
OFFICE_PARTS = (("word/", DOCX), ("ppt/", PPTX), ("xl/", XLSX))
HTML_HEAD = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)?<(?:!doctype\s+html|html|head)\b",
    re.IGNORECASE | re.DOTALL,
)
MBOX_HEAD = re.compile(rb"From [^\n]{3,200}\d{4}[^\n]{0,20}\n[!-9;-~]+:[ \t]")


def format_of(content: Content) -> Format:
    """Return how a file is read.

    Raises:
        Unreadable: it is of no kind that is read.
    """
    path = PurePosixPath(content.name)
    extension = path.suffix.lower()
    named = BY_EXTENSION.get(extension)
    head = content.head(HEAD_BYTES)
    if path.name.startswith(OWNER_FILE) and head and not _is_text(head):
        raise Unreadable("unsupported format", "a note by Office of who has a document open")
    if extension in NOT_READ_BY_NAME and head and not _is_text(head):
        raise Unreadable("unsupported format", NOT_READ_BY_NAME[extension])
    if ODF_MARK in head[:ODF_MARK_WITHIN_BYTES]:
        raise Unreadable("unsupported format", "an OpenDocument file: save it as DOCX, XLSX or PPTX")
    marked = _marked(content, head)
    if marked is not None:
        return marked
    if named is not None and named.is_text:
        return HTML if named is TEXT and HTML_HEAD.match(head) else named
    for mark, what in NOT_READ:
        if head.startswith(mark):
            locked = mark == OLE_MARK and named in (DOCX, PPTX, XLSX)
            raise Unreadable("encrypted" if locked else "unsupported format", what)
    if named is not None and not _is_text(head):
        return named  # cut off before its mark, say: its reader says how it is broken
    if programming_language(content.name):
        return CODE
    if not head:
        return TEXT
    if MBOX_HEAD.match(head):
        return MBOX
    if not _is_text(head) and (CONTROLS.search(head) or not WHITE_SPACE.search(head)):
        raise Unreadable("unsupported format", "bytes that are no text, and no kind of file that is read")
    if SVG_HEAD.match(head):
        raise Unreadable("unsupported format", "an image")
    return HTML if HTML_HEAD.match(head) else TEXT


def _marked(content: Content, head: bytes) -> Format | None:
    """Return the format the first bytes are the mark of, or None."""
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_kind(content)
    for mark, kind in MARKS:
        if head.startswith(mark):
            return kind
    if b"%PDF-" in head[:PDF_MARK_WITHIN_BYTES] and (head.startswith(b"%PDF-") or not _is_text(head)):
        return PDF
    return TAR if head[TAR_MARK_AT:].startswith(TAR_MARK) else None


def _zip_kind(content: Content) -> Format:
    try:
        with content.open() as file, zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        named = BY_EXTENSION.get(PurePosixPath(content.name).suffix.lower(), ZIP)
        return named if named in (DOCX, PPTX, XLSX) else ZIP  # its reader says how it is broken
    if "[Content_Types].xml" in names:
        for prefix, kind in OFFICE_PARTS:
            if any(name.startswith(prefix) for name in names):
                return kind
    return ZIP


def _is_text(head: bytes) -> bool:
    """True when the first bytes are UTF-8 text without controls, or say that they are of another Unicode form."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return True
    if CONTROLS.search(head):
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        # A letter may be cut in two at the end of what was read.
        return error.start >= HEAD_BYTES - 3
    return True
