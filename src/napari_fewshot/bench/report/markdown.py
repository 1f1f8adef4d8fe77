"""Blocks as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .blocks import Block, Heading, Picture, Table, Text

__all__ = ["to_markdown"]


def to_markdown(blocks: Sequence[Block], folder: Path) -> str:
    """Write blocks; pictures are linked relative to ``folder``."""
    return "\n\n".join(_block(block, folder) for block in blocks) + "\n"


def _block(block: Block, folder: Path) -> str:
    if isinstance(block, Heading):
        return f"{'#' * block.level} {block.text}"
    if isinstance(block, Picture):
        path = block.path.relative_to(folder).as_posix()
        return f"![{_escaped(block.caption)}]({path})\n\n*{_escaped(block.caption)}*"
    if isinstance(block, Table):
        return _table(block)
    if block.code:
        return "```sh\n" + "\n".join(block.paragraphs) + "\n```"
    return _text(block)


def _text(block: Text) -> str:
    if block.items:
        return "\n".join(f"- {paragraph}" for paragraph in block.paragraphs)
    return "\n\n".join(block.paragraphs)


def _table(block: Table) -> str:
    rule = ["---" if number < block.left else "--:" for number in range(len(block.head))]
    lines = [_line(block.head), "|" + "|".join(rule) + "|"]
    for row in block.rows:
        cells = [_escaped(cell.text) for cell in row]
        marked = [
            f"**{text}**" if cell.best else text for cell, text in zip(row, cells, strict=True)
        ]
        lines.append("| " + " | ".join(marked) + " |")
    table = "\n".join(lines)
    return f"**{_escaped(block.caption)}**\n\n{table}" if block.caption else table


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(map(_escaped, cells)) + " |"


def _escaped(text: str) -> str:
    return text.replace("|", r"\|")
