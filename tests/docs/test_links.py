"""Links of pages to files of the repository, and to their headings, lead somewhere."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOME = re.compile(r"https://github\.com/napari-fewshot/napari-fewshot/(?:blob|tree|raw)/main/")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "paper" / "paper.md"])


def links(page: Path) -> list[str]:
    """Targets of the links and pictures of a page, code left out."""
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.M | re.S)
    return re.findall(r"\]\(<?([^)\s>]+)>?\)", text)


@cache
def headings(page: Path) -> frozenset[str]:
    """Anchors of a page, as GitHub and myst make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
    titles = re.findall(r"^#{1,4} (.+)$", text, re.M)
    named = re.findall(r"^\(([\w-]+)\)=$", text, re.M)
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return frozenset([*named, *(title.strip().replace(" ", "-") for title in plain)])


def fault(page: Path, link: str) -> str | None:
    """What is wrong with a link; None for one that is right, or that leads out."""
    path, home = HOME.subn("", link)
    if not home and re.match(r"[a-z]+:", path):
        return None
    name, _, anchor = path.partition("#")
    target = (ROOT if home else page.parent) / name if name else page
    if not target.exists():
        return f"{link}: no such file"
    if anchor and target.suffix == ".md" and anchor not in headings(target):
        return f"{link}: no such heading"
    return None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    assert [found for link in links(page) if (found := fault(page, link))] == []


def test_wrong_links_are_found(tmp_path):
    page = ROOT / "README.md"
    home = "https://github.com/napari-fewshot/napari-fewshot/blob/main/"
    assert fault(page, "docs/nowhere.md") == "docs/nowhere.md: no such file"
    assert "no such file" in (fault(page, f"{home}docs/nowhere.md") or "")
    assert "no such heading" in (fault(page, "docs/files.md#nowhere") or "")
    assert fault(page, "docs/files.md#dicom-seg") is None
    assert fault(page, "https://napari.org/nowhere") is None
