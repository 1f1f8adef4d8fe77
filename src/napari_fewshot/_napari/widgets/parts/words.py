"""Times and sizes in words for people."""

from __future__ import annotations

__all__ = ["duration", "estimate", "size"]


def duration(seconds: float) -> str:
    """Time in one unit, or two: ``"3 s"``, ``"2 min"``, ``"1 h 20 min"``."""
    if seconds < 1:
        return "less than 1 s"
    if seconds < 60:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


def size(megabytes: float) -> str:
    """Size in MB, or in GB from 1000 MB on."""
    if megabytes < 1:
        return "less than 1 MB"
    return f"{megabytes:.0f} MB" if megabytes < 1000 else f"{megabytes / 1000:.1f} GB"


def estimate(seconds: float | None, megabytes: float | None) -> str:
    """``"About 12 s, 40 MB on disk."``; empty where nothing is known."""
    parts = []
    if seconds is not None:
        parts.append(duration(seconds))
    if megabytes is not None:
        parts.append(size(megabytes))
    if not parts:
        return ""
    text = ", ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if text.startswith("less") else f"About {text}."
