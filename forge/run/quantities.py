"""Quantities as people read them: sizes, lengths of time, money, counts. Sizes are in KiB, MiB, GiB everywhere."""

from __future__ import annotations

BINARY = ((1024**4, "Ti"), (1024**3, "Gi"), (1024**2, "Mi"), (1024, "Ki"))
DECIMAL = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))


def figure(value: float) -> str:
    """Return a number to three digits and no fewer than its whole part: '0.0479', '54.3', '4,740'."""
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    text = f"{value:.3g}"
    return f"{value:.10f}".rstrip("0").rstrip(".") or "0" if "e" in text else text


def size(size_bytes: float) -> str:
    """Return a number of bytes: '999 B', '6.6 MiB', '75.6 GiB'."""
    number = amount(size_bytes, "bytes")
    return f"{number}B" if number[-1] == "i" else f"{number} B"


def amount(value: float, unit: str) -> str:
    """Return a quantity without its unit: bytes as '6.6 Mi', anything else with thousands set apart."""
    if unit != "bytes":
        return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.1f}"
    for scale, name in BINARY:
        if value >= scale:
            return f"{value / scale:,.1f} {name}"
    return f"{value:.0f}"


def count(value: float) -> str:
    """Return a large number in short: '6.74B' for 6,738,415,616."""
    for scale, name in DECIMAL:
        if value >= scale * 0.9995:
            return f"{figure(value / scale)}{name}"
    return figure(value)


def scientific(value: float, decimals: int) -> str:
    """Return a number by its power of ten: '1.2e18', '3.00e-4'."""
    mantissa, _, exponent = f"{value:.{decimals}e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def counted(number: float, noun: str) -> str:
    """Return a number of things: '1 document', '1,263 documents'."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def money(usd: float) -> str:
    """Return an amount of money: '$11,900', '$3.20', 'under $0.01'."""
    if 0 < usd < 0.01:
        return "under $0.01"
    return f"${usd:,.2f}" if 0 < usd < 99.995 else f"${usd:,.0f}"


def duration(seconds: float) -> str:
    """Return a length of time in its two largest units: '45 s', '3 min 20 s', '2 h 05 min', '6 d 4 h'."""
    if seconds < 0.0995:
        return f"{figure(seconds * 1000)} ms" if seconds > 0 else "0 s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole_s = round(seconds)
    if whole_s < 60:
        return f"{whole_s} s"
    if whole_s < 3600:
        return f"{whole_s // 60} min {whole_s % 60:02} s"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    hours = round(seconds / 3600)
    return f"{hours // 24:,} d {hours % 24} h"
