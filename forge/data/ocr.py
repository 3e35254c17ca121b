"""The text of pictures of pages: RapidOCR (Apache-2.0), the extra `forge-run[ocr]`.

Its models come inside its wheel and run on one core of the CPU: nothing is fetched, and the same page gives the same
text. A page of A4 takes about 4 CPU seconds and 0.9 GB.
"""

from __future__ import annotations

import functools
import importlib.util
import math
from typing import Any

from forge.errors import StageError

INCH_POINTS = 72
DOTS_PER_INCH = 200
MOST_PIXELS = 25_000_000
"""Of a page; a poster is looked at more coarsely. A4 has 3.9 million."""
CPU_LIMIT_S = 4 * 3600.0
WALL_LIMIT_S = 12 * 3600.0
"""For a file, where pictures are read: some thousand pages."""
LEAST_CONFIDENCE = 0.5
"""Of a line, from 0 to 1, as RapidOCR has it."""


def check_ocr() -> None:
    """Refuse before any work is done where the extra is not installed.

    Raises:
        StageError: it is not.
    """
    missing = [name for name in ("rapidocr", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise StageError(
            f"data.ocr: is true and {' and '.join(missing)} not installed: pip install 'forge-run[ocr]', "
            "or set data.ocr=false"
        )


def text_of_page(page: Any) -> str:
    """Return the text of a pypdfium2 page as it looks, line by line; "" where there is none."""
    width, height = page.get_size()
    scale = DOTS_PER_INCH / INCH_POINTS
    scale = min(scale, math.sqrt(MOST_PIXELS / max(1.0, width * height)))
    found = _engine()(page.render(scale=scale).to_numpy())
    if found.txts is None:
        return ""
    return "\n".join(
        text for text, score in zip(found.txts, found.scores, strict=True) if score >= LEAST_CONFIDENCE
    )


@functools.lru_cache(maxsize=1)
def _engine() -> Any:
    from rapidocr import RapidOCR

    return RapidOCR(
        params={
            "Global.log_level": "critical",
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )
