"""Templates of many instances in the ``train`` command: said, or learned as one class."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ..errors import InputError

if TYPE_CHECKING:
    from ..templates.template import Template

__all__ = ["add_arguments", "prepared"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the option."""
    parser.add_argument(
        "--merge-labels",
        nargs="?",
        const="object",
        metavar="NAME",
        help="learn all labels as one class of this name (default: object), as for label maps of "
        "instances; the objects command separates them in the result",
    )


def prepared(templates: list[Template], options: argparse.Namespace) -> list[Template]:
    """Templates with labels merged where that is wanted; says where it probably should be."""
    from ..objects.instances import count_instances, merge_labels

    if options.merge_labels is not None:
        if not options.merge_labels.strip():
            raise InputError("--merge-labels", "be a name", options.merge_labels)
        return [merge_labels(template, options.merge_labels) for template in templates]
    count = count_instances(templates)
    if count:
        print(
            f"napari-fewshot: note: {count} labels that each occur once look like instances of one "
            "class, and each will be learned as a class of its own. To learn one class, give "
            "--merge-labels, and separate the predicted objects with: napari-fewshot objects",
            file=sys.stderr,
        )
    return templates
