"""What labels stand for, in codes of a terminology such as SNOMED CT, as DICOM asks for them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError

__all__ = ["UNCODED", "Code", "SegmentCode", "codes_for", "read_codes"]

Code = tuple[str, str, str]
"""Value, scheme (``SCT`` for SNOMED CT) and meaning in words."""

_TISSUE: Code = ("85756007", "SCT", "Tissue")
STRUCTURE: Code = ("123037004", "SCT", "Anatomical Structure")

_EXAMPLE = '{"liver": {"type": ["10200004", "SCT", "Liver"]}}'
_KEYS = ("type", "category", "modifier", "name", "color")
# Of a code: the most characters that DICOM has room for.
_LENGTHS = (64, 16, 64)
# What dcmqi, and the tools that use it, call the same.
_OF_DCMQI = {
    "type": "SegmentedPropertyTypeCodeSequence",
    "category": "SegmentedPropertyCategoryCodeSequence",
    "modifier": "SegmentedPropertyTypeModifierCodeSequence",
    "color": "recommendedDisplayRGBValue",
}
_CODE_OF_DCMQI = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")


@dataclass(frozen=True)
class SegmentCode:
    """What a label stands for.

    Parameters
    ----------
    type : Code
        The structure.
    category : Code
        What kind of thing it is.
    modifier : Code, optional
        Of the type, such as a side.
    name : str
        Name of the segment; empty: that of the label.
    color : tuple of int, optional
        Red, green and blue, 0 to 255.
    """

    type: Code
    category: Code = STRUCTURE
    modifier: Code | None = None
    name: str = ""
    color: tuple[int, int, int] | None = None


UNCODED = SegmentCode(_TISSUE, _TISSUE)
"""Of labels of which nothing is said."""


def read_codes(path: Path) -> dict[str, SegmentCode]:
    """Read codes by the name or value of labels, upper and lower case being equal.

    The file is a JSON object such as ``{"liver": {"type": ["10200004", "SCT", "Liver"]}}``, with
    ``category``, ``modifier``, ``name`` and ``color`` where they are wanted; or one of dcmqi, whose
    segments are known by their ``labelID``.

    Raises
    ------
    InputError
        If it cannot be read, or is something else.
    """
    try:
        content = json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(str(path), f"be JSON such as {_EXAMPLE}", f"{reason}") from None
    found: dict[str, SegmentCode] = {}
    for key, entry in _entries(path, content):
        if key.casefold() in found:
            raise InputError(str(path), "name each label once", key)
        found[key.casefold()] = _segment(path, key, entry)
    return found


def codes_for(
    codes: Mapping[str, SegmentCode], names: Mapping[int, str], values: Iterable[int]
) -> dict[int, SegmentCode]:
    """Code of each label, by its value or its name.

    Raises
    ------
    InputError
        If a label has none.
    """
    found = {}
    for value in values:
        name = names.get(value, str(value))
        code = codes.get(str(value)) or codes.get(name.casefold())
        if code is None:
            shown = str(value) if name == str(value) else f"{value} ({name})"
            raise InputError(
                "codes", "have one for each label of the model", f"none for label {shown}"
            )
        found[value] = code
    return found


def _entries(path: Path, content: Any) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Entries of a file by their key, those of dcmqi in our words."""
    groups = content.get("segmentAttributes") if isinstance(content, Mapping) else None
    if groups is not None:
        listed = [one for group in groups for one in group] if _are_lists(groups) else []
        if not listed or not all(isinstance(one, Mapping) and "labelID" in one for one in listed):
            raise InputError(str(path), "list segments with a labelID (dcmqi)", "others")
        return [(str(one["labelID"]), _of_dcmqi(one)) for one in listed]
    entries = content.items() if isinstance(content, Mapping) else []
    if not entries or not all(isinstance(entry, Mapping) for _, entry in entries):
        given = type(content).__name__ if not entries else "other values"
        raise InputError(str(path), f"be a JSON object such as {_EXAMPLE}", given)
    return entries


def _are_lists(groups: Any) -> bool:
    return isinstance(groups, list) and all(isinstance(group, list) for group in groups)


def _of_dcmqi(segment: Mapping[str, Any]) -> dict[str, Any]:
    entry = {ours: segment[theirs] for ours, theirs in _OF_DCMQI.items() if theirs in segment}
    for ours in ("type", "category", "modifier"):
        if isinstance(entry.get(ours), Mapping):
            entry[ours] = [entry[ours].get(part) for part in _CODE_OF_DCMQI]
    name = segment.get("SegmentLabel") or segment.get("SegmentDescription")
    return {**entry, "name": name} if name else entry


def _segment(path: Path, key: str, entry: Mapping[str, Any]) -> SegmentCode:
    unknown = [name for name in entry if name not in _KEYS]
    if unknown:
        raise InputError(str(path), f"have {', '.join(_KEYS)} for {key}", unknown[0])
    name, color = entry.get("name", ""), entry.get("color")
    if not isinstance(name, str):
        raise InputError(str(path), f"have a text as the name of {key}", name)
    if color is not None and not _is_color(color):
        raise InputError(str(path), f"have a color of three numbers 0..255 for {key}", color)
    modifier = entry.get("modifier")
    return SegmentCode(
        type=_code(path, f"type of {key}", entry.get("type")),
        category=_code(path, f"category of {key}", entry.get("category", STRUCTURE)),
        modifier=None if modifier is None else _code(path, f"modifier of {key}", modifier),
        name=name,
        color=None if color is None else (color[0], color[1], color[2]),
    )


def _is_color(color: Any) -> bool:
    numbers = isinstance(color, list) and len(color) == 3 and all(type(n) is int for n in color)
    return numbers and all(0 <= n <= 255 for n in color)


def _code(path: Path, what: str, given: Any) -> Code:
    parts = list(given) if isinstance(given, (list, tuple)) else []
    whole = len(parts) == 3 and all(isinstance(part, str) and part.strip() for part in parts)
    if not whole or any(len(part) > n for part, n in zip(parts, _LENGTHS, strict=True)):
        wanted = f'be a code such as ["10200004", "SCT", "Liver"] as the {what}'
        raise InputError(str(path), wanted, "none" if given is None else given)
    return parts[0].strip(), parts[1].strip(), parts[2].strip()
