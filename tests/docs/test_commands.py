"""Every command of the pages is one that the parser takes."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from napari_fewshot.cli import build_parser, train
from napari_fewshot.config import SegmenterConfig

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(page: Path) -> Iterator[str]:
    """Command lines in blocks of shell, with their further lines."""
    for block in re.findall(r"^```(?:sh|bash)\n(.*?)^```", page.read_text("utf-8"), re.M | re.S):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            if re.match(r"(?:\S*/)?napari-fewshot ", line.strip()):
                yield line.strip()


def parsed(line: str) -> argparse.Namespace:
    """Options of a command line; ``...`` stands for those of the example in the help."""
    words = shlex.split(line, comments=True)[1:]
    if "..." in words:
        example = shlex.split(import_module(f"napari_fewshot.cli.{words[0]}").EXAMPLE)[2:]
        place = words.index("...")
        words[place : place + 1] = example
    return build_parser().parse_args(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_of_the_page_are_taken(page, capsys):
    for line in commands(page):
        try:
            options = parsed(line)
        except SystemExit as end:
            if end.code:
                pytest.fail(f"{line}\n{capsys.readouterr().err}")
        else:
            if options.run is train.run:
                SegmenterConfig.of(train.settings_of(options), "settings")


def test_there_are_commands_to_check():
    assert sum(len(list(commands(page))) for page in PAGES) > 40
