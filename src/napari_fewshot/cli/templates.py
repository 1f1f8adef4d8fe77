"""Which labels, points and slices belong to which image on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .arguments import check_axis, existing_file, existing_image

if TYPE_CHECKING:
    from ..templates.template import Template

__all__ = ["InOrder", "TemplateFiles", "group_templates", "parse_numbers", "read_templates"]

LONGEST_RANGE = 100_000
KINDS = ("labels", "points", "slices", "known_labels", "axis")
FILES = ("labels", "points")


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
        given += [
            (self.dest, value) for value in (values if isinstance(values, list) else [values])
        ]
        namespace.given = given


@dataclass
class TemplateFiles:
    """The files and words of one template."""

    image: Path
    labels: Path | None = None
    points: Path | None = None
    slices: str | None = None
    known_labels: str | None = None
    axis: str | None = None


def group_templates(given: Sequence[tuple[str, str]]) -> list[TemplateFiles]:
    """Share options out to images.

    An option that is given once for every image goes to them in order; slices, known labels or
    an axis given once count for all; otherwise each belongs to the image that stands before it.

    Raises
    ------
    InputError
        If there is no image, an option stands before the first one, or an image has two of a
        kind or neither labels nor points.
    """
    groups = [
        TemplateFiles(existing_image("--image", Path(value)))
        for name, value in given
        if name == "image"
    ]
    if not groups:
        raise InputError("--image", "be given at least once", "none")
    for kind in KINDS:
        option = f"--{kind.replace('_', '-')}"
        values = [value for name, value in given if name == kind]
        if len(values) == len(groups):
            owners = list(range(len(groups)))
        elif kind not in FILES and len(values) == 1:
            owners, values = list(range(len(groups))), values * len(groups)
        else:
            owners = _owners(given, kind, option)
        for owner, value in zip(owners, values, strict=True):
            if getattr(groups[owner], kind) is not None:
                raise InputError(option, "be given once for each image", value)
            if kind == "axis":
                check_axis(value, "auto")
            found = existing_file(option, Path(value)) if kind in FILES else value
            setattr(groups[owner], kind, found)
    for group in groups:
        if group.labels is None and group.points is None:
            raise InputError("--labels", "be given for every image, or --points", f"{group.image}")
    return groups


def _owners(given: Sequence[tuple[str, str]], kind: str, option: str) -> list[int]:
    owners, current = [], -1
    for name, value in given:
        if name == "image":
            current += 1
        elif name == kind:
            if current < 0:
                raise InputError(option, "stand behind the --image it belongs to", value)
            owners.append(current)
    return owners


def read_templates(files: Sequence[TemplateFiles], options: argparse.Namespace) -> list[Template]:
    """Read the files of all templates; ``options`` are those of the ``train`` command.

    Raises
    ------
    InputError
        If a file cannot be read or does not fit; where there are several images, the message
        says which. If one label has two names, e.g. that of a structure and of a landmark.
    """
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
    only = parse_numbers("--only", options.only)
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
    from ..io import check_match, read_labels, read_points, read_volume
    from ..templates.template import SCRIBBLE_BACKGROUND, Template

    image = read_volume(files.image, frame=options.frame)
    labels = None
    if files.labels is not None:
        labels = read_labels(files.labels)
        check_match(image, labels)
    template = Template(
        image,
        labels,
        slices=_slices(files.slices),
        known_labels=parse_numbers("--known-labels", files.known_labels),
        axis=None if files.axis == "auto" else files.axis,
        kind=options.template,
        points=() if files.points is None else read_points(files.points, image, numbers=numbers),
        background=SCRIBBLE_BACKGROUND if options.background is None else options.background,
    )
    if image.ndim == 3 and isinstance(template.slices, list):
        count = image.shape[template.file_axis()]
        if max(template.slices) >= count:
            raise InputError("--slices", f"be within 0..{count - 1}", files.slices)
    return template


def _slices(text: str | None) -> Any:
    if text is None or text in ("painted", "all"):
        return text
    return parse_numbers("--slices", text)


def parse_numbers(option: str, text: str | None) -> list[int] | None:
    """Read ``3,7,10-12``."""
    if text is None:
        return None
    numbers: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise InputError(option, "be numbers such as 3,7,10-12", text)
        start, stop = int(first), int(last or first)
        if not start <= stop < start + LONGEST_RANGE:
            raise InputError(
                option, f"have rising ranges of at most {LONGEST_RANGE} numbers", part.strip()
            )
        numbers += range(start, stop + 1)
    return numbers
