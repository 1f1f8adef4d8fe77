"""Check the changelog and set the version from the tag of a release.

``python scripts/release.py`` checks the form of CHANGELOG.md. With a tag, as in ``python
scripts/release.py v1.2.0 --write --notes notes.md``, the section of the tag must be the newest one;
``--write`` sets the version of the package, and ``--notes`` writes the section to
a file.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
TAG = re.compile(r"v(\d+\.\d+\.\d+(?:rc\d+)?)")
HEADING = re.compile(r"## \[(?P<name>[^\]]+)\](?: - (?P<day>\S+))?")
VERSION_LINE = re.compile(r'^__version__ = "[^"]*"$', re.MULTILINE)


class ReleaseError(Exception):
    """What keeps a release from being made."""


@dataclass(frozen=True)
class Section:
    """A version of the changelog, or what is not yet released."""

    name: str
    day: str | None
    text: str


def read_changelog(text: str) -> list[Section]:
    """Sections, the newest first; :class:`ReleaseError` where the form is not kept."""
    parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)[1:]
    sections = [_section(part) for part in parts]
    if not sections or sections[0].name != "Unreleased" or sections[0].day:
        raise ReleaseError("CHANGELOG.md must begin with ## [Unreleased]")
    versions = [_numbers(section.name) for section in sections[1:]]
    if versions != sorted(set(versions), reverse=True):
        raise ReleaseError("CHANGELOG.md must have each version once, the newest first")
    return sections


def _section(part: str) -> Section:
    heading, _, text = part.partition("\n")
    found = HEADING.fullmatch(heading.strip())
    if found is None:
        raise ReleaseError(f"CHANGELOG.md must have headings as ## [1.2.0] - 2026-01-31; {heading}")
    name, day = found["name"], found["day"]
    if name != "Unreleased":
        _numbers(name)
        try:
            date.fromisoformat(day or "")
        except ValueError:
            raise ReleaseError(f"{name} must have a date as 2026-01-31; got {day}") from None
    for kind in re.findall(r"^### (.*)$", text, re.MULTILINE):
        if kind not in KINDS:
            raise ReleaseError(f"{name} must have parts out of {', '.join(KINDS)}; got {kind}")
    return Section(name, day, text.strip())


def _numbers(version: str) -> tuple[int, int, int, int]:
    """Order versions by; a candidate goes before its release."""
    if TAG.fullmatch(f"v{version}") is None:
        raise ReleaseError(f"versions must be as 1.2.0 or 1.2.0rc1; got {version}")
    release, _, candidate = version.partition("rc")
    major, minor, patch = (int(part) for part in release.split("."))
    return major, minor, patch, int(candidate) if candidate else sys.maxsize


def section_of(tag: str, sections: list[Section]) -> Section:
    """Section of a tag: the newest, with something in it; nothing may be left unreleased."""
    found = TAG.fullmatch(tag)
    if found is None:
        raise ReleaseError(f"the tag must be as v1.2.0 or v1.2.0rc1; got {tag}")
    unreleased, *released = sections
    if not released or released[0].name != found[1]:
        newest = released[0].name if released else "none"
        raise ReleaseError(
            f"the newest version of CHANGELOG.md must be {found[1]}, of the tag; got {newest}"
        )
    if unreleased.text:
        raise ReleaseError("[Unreleased] must be empty: move it to the version of the tag")
    if not released[0].text:
        raise ReleaseError(f"{found[1]} must have a text in CHANGELOG.md")
    return released[0]


def with_version(source: str, version: str) -> str:
    """Source of the package with another ``__version__``."""
    changed, count = VERSION_LINE.subn(f'__version__ = "{version}"', source)
    if count != 1:
        raise ReleaseError(f"__version__ must stand in the package once; got {count}")
    return changed


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Check; 1 and one line where a release cannot be made."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tag", nargs="?")
    parser.add_argument("--write", action="store_true", help="set the version of the package")
    parser.add_argument("--notes", type=Path, metavar="FILE", help="write the section of the tag")
    options = parser.parse_args(arguments)
    try:
        sections = read_changelog((root / "CHANGELOG.md").read_text(encoding="utf-8"))
        if options.tag is None:
            return 0
        section = section_of(options.tag, sections)
        if options.write:
            package = root / "src" / "napari_fewshot" / "__init__.py"
            source = package.read_text(encoding="utf-8")
            package.write_text(with_version(source, section.name), encoding="utf-8")
        if options.notes is not None:
            options.notes.write_text(f"{section.text}\n", encoding="utf-8")
    except ReleaseError as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
