"""List the backbones: name, size, licence, source, and whether their weights are here.

Fine-tuned weights that lie in the folder of weights come behind them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

NAME = "backbones"
HELP = "list the backbones and whether their weights are here"
EXAMPLE = "napari-fewshot backbones"

__all__ = ["EXAMPLE", "HELP", "NAME", "add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add nothing: the command takes no options."""


def run(options: argparse.Namespace) -> int:
    """Print the table."""
    from ..backbones import list_backbones, weights_available
    from ..backbones.weights import weights_folder
    from ..finetuning.weights_file import list_finetuned

    rows = [("name", "weights", "size", "licence", "source", "what")]
    for spec in list_backbones():
        if spec.source == "built in":
            state, size = "built in", "-"
        else:
            state = "here" if weights_available(spec.name) else "not here"
            size = "-" if spec.size_mb is None else f"{spec.size_mb:.0f} MB"
        rows.append((spec.name, state, size, spec.licence, spec.source, spec.summary))
    _print_table(rows)
    if found := list_finetuned(weights_folder()):
        print("\nFine-tuned weights, for --weights:\n")
        table = [("file", "backbone", "from", "steps", "gain", "data")]
        for path, story in found:
            gain = f"{story.best - story.start:+.3f} {story.measure}" if story.better else "none"
            own = story.backbone, story.base, str(story.steps), gain, story.learned_from
            table.append((str(path), *own))
        _print_table(table)
    print(
        f"\nAny other model of timm: timm:<name>. Local weights: --weights FILE, or put files in "
        f"{weights_folder()}."
    )
    return 0


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows with their columns aligned."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)]
        print("  ".join([*cells, row[-1]]).rstrip())
