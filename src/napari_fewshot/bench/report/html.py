"""Blocks as one HTML file, with pictures inside it and no scripts."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from .blocks import Block, Cell, Heading, Picture, Table, Text

__all__ = ["to_html"]

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: right; }
th.word, td.word { text-align: left; }
thead th { border-bottom-width: 2px; vertical-align: bottom; }
tbody tr:nth-child(even) { background: var(--soft); }
figure { margin: 1rem 0; display: inline-block; vertical-align: top; }
figure img { max-width: 100%; background: #fff; }
figcaption { font-size: .85rem; opacity: .8; }
pre { overflow-x: auto; padding: .6rem .8rem; background: var(--soft); }
"""


def to_html(blocks: Sequence[Block]) -> str:
    """Write blocks as a page that needs no other file."""
    title = next((block.text for block in blocks if isinstance(block, Heading)), "Benchmark")
    body = "\n".join(_block(block) for block in blocks)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _block(block: Block) -> str:
    if isinstance(block, Heading):
        return f"<h{block.level}>{escape(block.text)}</h{block.level}>"
    if isinstance(block, Picture):
        data = base64.b64encode(block.path.read_bytes()).decode("ascii")
        caption = escape(block.caption)
        return (
            f'<figure><img alt="{caption}" src="data:image/png;base64,{data}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    return _table(block) if isinstance(block, Table) else _text(block)


def _text(block: Text) -> str:
    paragraphs = [escape(paragraph) for paragraph in block.paragraphs]
    if block.code:
        return "<pre>" + "\n".join(paragraphs) + "</pre>"
    if block.items:
        return "<ul>" + "".join(f"<li>{one}</li>" for one in paragraphs) + "</ul>"
    return "".join(f"<p>{one}</p>" for one in paragraphs)


def _table(block: Table) -> str:
    kinds = [' class="word"' if k < block.left else "" for k in range(len(block.head))]
    head = "".join(
        f'<th scope="col"{kind}>{escape(text)}</th>'
        for kind, text in zip(kinds, block.head, strict=True)
    )
    body = "\n".join(
        "<tr>"
        + "".join(f"<td{kind}>{_cell(cell)}</td>" for kind, cell in zip(kinds, row, strict=True))
        + "</tr>"
        for row in block.rows
    )
    caption = f"<caption>{escape(block.caption)}</caption>" if block.caption else ""
    return (
        f'<div class="scroll"><table>{caption}<thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(cell: Cell) -> str:
    return f"<strong>{escape(cell.text)}</strong>" if cell.best else escape(cell.text)
