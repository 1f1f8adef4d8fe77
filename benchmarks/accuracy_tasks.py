"""Tasks of benchmarks/accuracy.py: templates, and cases to score, out of real labelled data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from accuracy_strokes import BACKGROUND, strokes
from skimage.color import hed2rgb, rgb2hed

from napari_fewshot import Template, Volume
from napari_fewshot.io import read_labels, read_volume

LEAST_VOXELS = 800
SHOTS = (1, 2, 3, 5, 8)
SCRIBBLE_SHOTS = (1, 3, 5)
MOST_PAINTED = 2 / 3  # of the labelled slices of a volume: the others are there to score
WRONG_TAGS = (0.05e-3, 1e-3, 1e-3)  # mm: pixels of 1 µm, slices 0.05 µm apart


@dataclass(frozen=True)
class Case:
    """An image with its truth, and the slices (of array axis 0) that are painted.

    ``ever_painted`` are the slices that any task of the same set paints: without them, tasks of one
    and of eight slices are scored on the same ones.
    """

    image: Volume
    truth: Volume
    painted: tuple[int, ...] = ()
    ever_painted: tuple[int, ...] = ()


@dataclass(frozen=True)
class Task:
    """Templates, cases to score, and the labels that are scored.

    ``others`` are, where images are scored that are no templates, all the others of the set.
    """

    templates: list[Template]
    cases: list[Case]
    labels: list[int]
    others: Callable[[], list[Template]] | None = None


def evenly(indices: np.ndarray, count: int) -> tuple[int, ...]:
    """Choose slices at equal distances, none of them the first or last."""
    places = np.linspace(0, len(indices) - 1, count + 2)[1:-1]
    return tuple(int(indices[k]) for k in np.round(places).astype(int))


def enough(labelled: int) -> tuple[int, ...]:
    """Numbers of painted slices for which a volume has enough labelled ones."""
    return tuple(count for count in SHOTS if count <= MOST_PAINTED * labelled)


def scribbled(image: Volume, truth: Volume, painted: Sequence[int]) -> Template:
    """Strokes on some slices (of array axis 0), or on a 2D image."""
    planes = truth.data.reshape(-1, *truth.shape[-2:])
    data = np.zeros(planes.shape, np.int32)
    for k in painted:
        data[k] = strokes(planes[k])
    return Template(
        image,
        data.reshape(truth.shape),
        axis=None if truth.ndim == 2 else 0,
        kind="scribble",
        background=BACKGROUND,
    )


def within(
    image: Path,
    labels: Path,
    count: int,
    *,
    scribble: bool = False,
    spacing: tuple[float, ...] | None = None,
    instances: bool = False,
) -> Task:
    """Some slices of a volume are painted, the others scored (array axis 0 of the file).

    ``spacing`` takes the place of that of the file; ``instances`` become one label.
    """
    picture, truth = read_volume(image), read_labels(labels)
    if instances:
        truth = truth.with_data((truth.data > 0).astype(np.uint8), names={1: "nucleus"})
    if spacing is not None:
        picture, truth = (replace(v, spacing=spacing, affine=None) for v in (picture, truth))
    labelled = np.flatnonzero(truth.data.any(axis=(1, 2)))
    painted = evenly(labelled, count)
    ever = {k for shots in enough(len(labelled)) for k in evenly(labelled, shots)} | {*painted}
    values, sizes = np.unique(truth.data, return_counts=True)
    wanted = [int(v) for v, n in zip(values, sizes, strict=True) if v and n > LEAST_VOXELS]
    if scribble:
        template = scribbled(picture, truth, painted)
    else:
        data = np.zeros_like(truth.data)
        data[list(painted)] = truth.data[list(painted)]
        template = Template(picture, truth.with_data(data), axis=0)
    return Task([template], [Case(picture, truth, painted, tuple(sorted(ever)))], wanted)


def across(
    folder: Path,
    shots: int,
    others: int,
    *,
    look: Callable[[Volume, str], Volume] = lambda image, name: image,
    scribble: bool = False,
) -> Task:
    """Whole images are templates, the first ones by name; the last ones are scored.

    With ``scribble`` each labelled slice of a template has its strokes. ``look`` makes another
    image of each, given its name.
    """
    paths = sorted((folder / "images").iterdir())
    if shots + others > len(paths):
        raise ValueError(f"{folder} has {len(paths)} images, not {shots} + {others}")
    pairs = [_pair(folder, p, look) for p in [*paths[:shots], *paths[len(paths) - others :]]]
    if scribble:
        templates = [scribbled(i, t, _labelled(t)) for i, t in pairs[:shots]]
    else:
        templates = [Template(i, t, slices="all") for i, t in pairs[:shots]]
    wanted = sorted({int(v) for _, t in pairs for v in np.unique(t.data)} - {0})

    def unscored() -> list[Template]:
        known = (_pair(folder, path, look) for path in paths[: len(paths) - others])
        return [Template(image, truth, slices="all") for image, truth in known]

    return Task(templates, [Case(i, t) for i, t in pairs[shots:]], wanted, unscored)


def _pair(folder: Path, path: Path, look: Callable[[Volume, str], Volume]) -> tuple[Volume, Volume]:
    name = path.name.partition(".")[0]
    truth = next((folder / "labels").glob(f"{name}*"))
    return look(read_volume(path), name), read_labels(truth)


def in_grey(image: Volume, _: str) -> Volume:
    """The mean of the colours."""
    return Volume(image.data.mean(axis=-1), image.spacing, image.affine)


def restained(image: Volume, name: str) -> Volume:
    """Another amount of each stain and another exposure, drawn for each image by its name.

    Stains are told apart as Ruifrok and Johnston do (2001, Anal. Quant. Cytol. Histol. 23).
    """
    rng = np.random.default_rng(list(name.encode()))
    stains = rgb2hed(image.data)
    stains = stains * rng.uniform(1 - _STAIN, 1 + _STAIN, 3) + rng.uniform(-0.02, 0.02, 3)
    seen = np.clip(hed2rgb(stains), 0, 1) ** np.exp(rng.uniform(-_EXPOSURE, _EXPOSURE))
    return replace(image, data=np.round(255 * seen).astype(np.uint8))


def tasks(data: Path) -> dict[str, Callable[[], Task]]:
    """Name and loader of every task, ``SET-SHOTS``; the sets are those whose folders are there.

    Shots are painted slices of a volume, or painted images. ``SET_scribble`` has strokes in place
    of whole slices.
    """
    found: dict[str, Callable[[], Task]] = {}
    for name, (image, labels, labelled, more) in _VOLUMES.items():
        make = partial(within, data / image, data / labels, **more)
        shots = enough(labelled) if name != RETAGGED else (3,)
        found |= {f"{name}-{count}": partial(make, count) for count in shots}
        if name != RETAGGED:
            drawn = [count for count in SCRIBBLE_SHOTS if count in shots]
            found |= {f"{name}_scribble-{n}": partial(make, n, scribble=True) for n in drawn}
    for name, (images, others) in _IMAGES.items():
        make = partial(across, data / name, others=others)
        shots = tuple(count for count in SHOTS if count <= images - others)
        found |= {f"{name}-{count}": partial(make, count) for count in shots}
        drawn = [count for count in SCRIBBLE_SHOTS if count in shots]
        found |= {f"{name}_scribble-{n}": partial(make, n, scribble=True) for n in drawn}
    cells = partial(across, data / "wbc_2d", 3, _IMAGES["wbc_2d"][1])
    found["wbc_2d_grey-3"] = partial(cells, look=in_grey)
    found["wbc_2d_restained-3"] = partial(cells, look=restained)
    return {n: load for n, load in found.items() if _folder(load).exists()}


def _folder(load: Callable[[], Task]) -> Path:
    return Path(load.args[0])  # type: ignore[attr-defined]


def _labelled(truth: Volume) -> list[int]:
    planes = truth.data.reshape(-1, *truth.shape[-2:])
    return [int(k) for k in np.flatnonzero(planes.any(axis=(1, 2)))]


_STAIN, _EXPOSURE = 0.4, 0.28
RETAGGED = "em_vnc_retagged"
_SPINE = ("mr_spine/{}_image.nii.gz", "mr_spine/{}_labels.nii.gz")
_HEART = ("mr_cardiac/SCD0000{}_image.nii.gz", "mr_cardiac/SCD0000{}_labels.nii.gz")
_NUCLEI = ("fluo_3d/{}_image.tif", "fluo_3d/{}_instances.tif")
_EM = ("em_vnc/image.tif", "em_vnc/labels.tif")

_VOLUMES: dict[str, tuple[str, str, int, dict[str, object]]] = {
    "ct_torso": ("ct_torso/image.nii.gz", "ct_torso/labels.nii.gz", 112, {}),
    "mr_abdomen": ("mr_abdomen/image.nii.gz", "mr_abdomen/labels.nii.gz", 20, {}),
    "em_vnc": (*_EM, 20, {}),
    RETAGGED: (*_EM, 20, {"spacing": WRONG_TAGS}),
    **{
        f"{name}-{case}": (files[0].format(case), files[1].format(case), labelled, more)
        for name, files, case, labelled, more in (
            ("mr_cardiac", _HEART, "101", 9, {}),
            ("mr_cardiac", _HEART, "301", 10, {}),
            ("mr_spine", _SPINE, "t1", 77, {}),
            ("mr_spine", _SPINE, "t2", 13, {}),
            ("fluo_3d", _NUCLEI, "1135", 100, {"instances": True}),
            ("fluo_3d", _NUCLEI, "1136", 100, {"instances": True}),
        )
    },
}
"""Image, labels, labelled slices, and what else :func:`within` is told."""

_IMAGES = {"hippocampus_mr": (40, 20), "wbc_2d": (20, 12), "sem_axon_2d": (6, 3)}
"""Images, and how many of them are scored."""
