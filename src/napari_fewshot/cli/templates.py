"""Templates of a command: the options that describe them, and how their files are read."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from . import inputs, shared

if TYPE_CHECKING:
    from ..templates.template import Template

__all__ = [
    "InOrder",
    "TemplateFiles",
    "add_template_arguments",
    "group_templates",
    "read_templates",
]

KINDS = ("labels", "points", "slices", "known_labels", "axis")
FILES = ("labels", "points")


def add_template_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what :func:`group_templates` and :func:`read_templates` take of any command."""
    add = parser.add_argument
    add(
        "--image", action=InOrder, nargs="+", metavar="I", required=True, help="image to learn from"
    )
    add(
        "--labels",
        action=InOrder,
        nargs="+",
        metavar="L",
        help="its label map, some slices painted",
    )
    add(
        "--slices",
        action=InOrder,
        metavar="K,K-K",
        help="slices that are known, counted along the axis from 0 (a listed slice without paint "
        "is known to be empty), or painted, or all (default: painted)",
    )
    add("--only", metavar="V,V", help="learn these labels only; the others become background")
    add(
        "--axis",
        action=InOrder,
        metavar="auto|N|axial|coronal|sagittal",
        help="axis of the slices; N counts in file order (default: the painted one)",
    )


class InOrder(argparse.Action):
    """Collects ``(option, value)`` pairs of several options in the order in which they stand."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Append the values of one option."""
        given = list(getattr(namespace, "given", None) or [])
        values = values if isinstance(values, list) else [values]
        namespace.given = [*given, *((self.dest, value) for value in values)]


@dataclass
class TemplateFiles:
    """The files and words of one template."""

    image: Path
    labels: Path | None = None
    points: Path | None = None
    slices: str | None = None
    known_labels: str | None = None
    axis: str | None = None


def group_templates(
    given: Sequence[tuple[str, str]], *, landmarks: bool = True
) -> list[TemplateFiles]:
    """Share options out to images, each of which needs labels, or landmarks where these do.

    An option that is given once for every image goes to them in order; slices, known labels or
    an axis given once count for all; otherwise each belongs to the image that stands before it.
    """
    groups: list[TemplateFiles] = []
    owned: dict[str, list[tuple[int, str]]] = {kind: [] for kind in KINDS}
    for name, value in inputs.expanded_templates(given):
        if name == "image":
            groups.append(TemplateFiles(Path(value)))
        else:
            owned[name].append((len(groups) - 1, value))
    if not groups:
        raise InputError("--image", "be given at least once", "none")
    for kind, pairs in owned.items():
        option, values = f"--{kind.replace('_', '-')}", [value for _, value in pairs]
        if kind not in FILES and len(values) == 1:
            values *= len(groups)
        if len(values) == len(groups):
            pairs = list(enumerate(values))
        for owner, value in pairs:
            if owner < 0:
                raise InputError(option, "stand behind the --image it belongs to", value)
            if getattr(groups[owner], kind) is not None:
                raise InputError(option, "be given once for each image", value)
            if kind == "axis":
                shared.check_axis(value, "auto")
            setattr(groups[owner], kind, Path(value) if kind in FILES else value)
    for group in groups:
        if group.labels is None and (group.points is None or not landmarks):
            need = "be given for every image" + (", or --points" if landmarks else "")
            raise InputError("--labels", need, f"{group.image}")
        if group.labels == group.image and group.image.is_file():
            raise InputError("--labels", "be another file than --image", group.labels)
    return groups


def read_templates(files: Sequence[TemplateFiles], options: argparse.Namespace) -> list[Template]:
    """Read the files of all templates; where there are several, messages say which it is about."""
    from ..templates.template import check_names

    numbers: dict[str, int] = {}
    templates = []
    for one in files:
        try:
            templates.append(_read_template(one, options, numbers))
        except InputError as error:
            if len(files) == 1 or str(one.image) in str(error):
                raise
            remedy = f"{error.remedy} (Image {one.image}.)".lstrip()
            raise InputError(error.parameter, error.constraint, error.given, remedy) from error
    check_names(templates)
    _tell_of_background(templates)
    only = shared.parse_numbers("--only", options.only)
    if only is None:
        return templates
    painted = sorted(set().union(*(template.painted_values() for template in templates)))
    for value in only:
        if value not in painted:
            raise InputError("--only", f"be among the painted labels {painted}", value)
    return [t.only(*(v for v in only if v in t.painted_values())) for t in templates]


def _read_template(
    files: TemplateFiles, options: argparse.Namespace, numbers: dict[str, int]
) -> Template:
    """Read the files of one template."""
    from ..io import read_labels_on, read_points, read_volume
    from ..templates.template import SCRIBBLE_BACKGROUND, Template

    (path,) = inputs.of_series([files.image], getattr(options, "series", None))
    image = read_volume(path, frame=options.frame)
    labels = None
    if files.labels is not None:
        labels = read_labels_on(image, files.labels, options.frame)
    points = [] if files.points is None else read_points(files.points, image, numbers=numbers)
    if not points and files.points is not None and labels is None:
        remedy = "Mark its points, or leave the image out."
        raise InputError(str(files.points), "hold a point, without --labels", "none", remedy)
    template = Template(
        image,
        labels,
        slices=_slices(files.slices),
        known_labels=shared.parse_numbers("--known-labels", files.known_labels),
        axis=None if files.axis == "auto" else files.axis,
        kind=options.template,
        points=points,
        background=SCRIBBLE_BACKGROUND if options.background is None else options.background,
    )
    if image.ndim == 3 and isinstance(template.slices, list):
        count = image.shape[template.file_axis()]
        if max(template.slices) >= count:
            raise InputError("--slices", f"be within 0..{count - 1}", files.slices)
    return template


def _tell_of_background(templates: Sequence[Template]) -> None:
    """Warn of scribbles in which nobody painted background: every pixel would get a label."""
    scribbles = [t for t in templates if t.kind == "scribble" and t.label_volume is not None]
    if scribbles and not any(t.has_background() for t in scribbles):
        print(
            f"napari-fewshot: note: no label map has the value {scribbles[0].background} of "
            "--background, so that every pixel will get a label. Paint some background.",
            file=sys.stderr,
        )


def _slices(text: str | None) -> Any:
    if text is None or text in ("painted", "all"):
        return text
    return shared.parse_numbers("--slices", text)
