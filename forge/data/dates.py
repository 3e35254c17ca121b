"""Times as the lake writes them: UTC to the second, `2024-01-05T09:12:00Z`; `2024-01-05` where no hour is given.

What gives no time zone is taken as UTC. Text order is the order in time.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any

from forge.data.written_dates import whole_day

PDF_DATE = re.compile(r"(?:D:)?(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:([+\-Z])(\d\d)?'?(\d\d)?)?")
DAY = re.compile(r"\d{4}-\d\d-\d\d")
SPOKEN = ("%b %d, %Y %H:%M", "%B %d, %Y %I:%M %p")
"""Times as wikis print them, in English."""


def from_datetime(value: datetime) -> str | None:
    """Return the time, or None where UTC takes it out of the calendar."""
    try:
        moment = value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    except (OverflowError, ValueError):
        return None
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}".rjust(20, "0")  # years before 1000 have fewer digits


def from_epoch(seconds: float) -> str | None:
    """Return the time so many seconds after 1970."""
    try:
        return from_datetime(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds))
    except (OverflowError, ValueError):
        return None


def from_value(value: Any) -> str | None:
    """Return the time of what a record or front matter has as a date; None when it is none."""
    if isinstance(value, datetime):
        return from_datetime(value)
    if isinstance(value, date):
        return value.isoformat()
    return from_text(value) if isinstance(value, str) else None


def from_text(text: str) -> str | None:
    """Return the time an ISO 8601 date, a mail header or a date as people write it means; None when it is none."""
    text = text.strip()
    if len(text) > 64:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _spoken(text)
    if DAY.fullmatch(text):
        return text
    return from_datetime(moment) if "-" in text else None  # twenty digits are a number to most files


def from_mail(text: str) -> str | None:
    """Return the time of an RFC 5322 date header."""
    try:
        return from_datetime(parsedate_to_datetime(text))
    except (TypeError, ValueError, IndexError, OverflowError):
        return None


def from_pdf(text: str) -> str | None:
    """Return the time of a PDF date (ISO 32000-1, 7.9.4), such as `D:20240105091200+02'00'`."""
    found = PDF_DATE.match(text.strip())
    if found is None:
        return None
    numbers = [int(number) if number else None for number in found.groups()[:6]]
    year, month, day, hour, minute, second = numbers
    sign, offset_hours, offset_minutes = found.groups()[6:]
    offset = timedelta(hours=int(offset_hours or 0), minutes=int(offset_minutes or 0))
    try:
        zone = timezone(-offset if sign == "-" else offset)
        if hour is None:
            return date(year or 0, month or 1, day or 1).isoformat()
        return from_datetime(
            datetime(year or 0, month or 1, day or 1, hour, minute or 0, second or 0, tzinfo=zone)
        )
    except ValueError:
        return None


def _spoken(text: str) -> str | None:
    if day := whole_day(text):
        return day.isoformat()
    for form in SPOKEN:
        try:
            return from_datetime(datetime.strptime(text, form))
        except ValueError:
            continue
    return from_mail(text) if ":" in text else None
