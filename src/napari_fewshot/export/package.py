"""A model as a package of the bioimage.io model format: network, test tensors, description."""

from __future__ import annotations

import re
import shutil
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from pydantic import ValidationError

from .. import __version__
from ..config import IntensityConfig
from ..errors import FewShotError, InputError
from ..predict.card import ModelCard
from ..predict.learned import LearnedModel
from ..types import Array
from .network import MIN_SIDE
from .onnx_file import OPSET, Agreement, quiet, require
from .words import documentation

__all__ = ["check_card", "write_package"]

_SOURCE = "https://github.com/napari-fewshot/napari-fewshot"
_LONGEST_NAME = 64
_COLOURS = 3
_FILES = ("model.onnx", "README.md", "input.npy", "output.npy")


def check_card(card: ModelCard) -> None:
    """Raise :class:`InputError` unless it names an author and a licence of the SPDX list.

    Both are needed by those who are given the package, and nobody else can say them.
    """
    for name in ("author", "licence"):
        if not getattr(card, name):
            raise InputError(
                f"--{name}",
                "be given for a package of bioimage.io, unless it stands on the card of the model",
                "none",
            )
    (core,) = require("bioimageio.spec.model.v0_5")
    try:
        core.LicenseId(card.licence)
    except ValidationError:
        raise InputError(
            "--licence",
            "be a name of the SPDX list, as CC-BY-4.0 or MIT",
            card.licence,
            "See https://spdx.org/licenses/.",
        ) from None


def write_package(
    path: Path,
    network: Path,
    model: LearnedModel,
    tensors: tuple[Array, Array],
    agreement: Agreement,
) -> None:
    """Write the package of an ONNX file, and let the library of bioimage.io validate it.

    Parameters
    ----------
    path : Path
        A file that ends in ``.zip``; it is replaced.
    network : Path
        The ONNX file.
    model : LearnedModel
        What it was made of.
    tensors : tuple of array
        Grey values that go in, (B, C, [Z,] Y, X), and the probabilities that come out.
    agreement : Agreement
        Of the network with the model.

    Raises
    ------
    InputError
        If the card of the model is not what the format asks for.
    """
    spec, core = require("bioimageio.spec", "bioimageio.spec.model.v0_5")
    with (
        tempfile.TemporaryDirectory() as folder,
        quiet(),
        spec.ValidationContext(known_files={_SOURCE: None}, log_warnings=False, progressbar=False),
    ):
        onnx, text, given, found = (Path(folder, name) for name in _FILES)
        shutil.copyfile(network, onnx)
        text.write_text(documentation(model, agreement), encoding="utf-8")
        for file, array in zip((given, found), tensors, strict=True):
            np.save(file, array)
        try:
            description = _described(core, model, folder, tensors[0])
            spec.save_bioimageio_package(description, output_path=path)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise InputError(
                "model", "be what the format of bioimage.io takes", f"{place}: {first['msg']}"
            ) from None
        checked = spec.load_description(path)
        if isinstance(checked.root, ZipFile):  # it would keep the file open
            checked.root.close()
    if isinstance(checked, spec.InvalidDescr):
        told = [one.msg for part in checked.validation_summary.details for one in part.errors]
        raise FewShotError(f"The package is not valid: {'; '.join(told)}")


def _described(core: Any, model: LearnedModel, folder: str, given: Array) -> Any:
    card, where = model.card, Path(folder)
    file = core.FileDescr
    names = ["background", *(model.names.get(v, f"label {v}") for v in model.label_values)]
    sides = ("z", "y", "x")[-(given.ndim - 2) :]
    channels = [f"channel {n}" for n in range(given.shape[1])]
    image = core.InputTensorDescr(
        id="image",
        description="Grey values of a whole image, along the axis that the model was trained on.",
        axes=[
            core.BatchAxis(),
            core.ChannelAxis(channel_names=[_identifier(name) for name in channels]),
            *(core.SpaceInputAxis(id=side, size=_sizes(core, side)) for side in sides),
        ],
        test_tensor=file(source=where / "input.npy"),
        data=core.IntervalOrRatioDataDescr(type="float32"),
        preprocessing=_scaling(core, model.config.intensity, sides, given.shape[1]),
    )
    probabilities = core.OutputTensorDescr(
        id="probabilities",
        description="Probability of background, and of each label, at each pixel.",
        axes=[
            core.BatchAxis(),
            core.ChannelAxis(channel_names=[_identifier(name) for name in names]),
            *(
                core.SpaceOutputAxis(
                    id=side, size=core.SizeReference(tensor_id="image", axis_id=side)
                )
                for side in sides
            ),
        ],
        test_tensor=file(source=where / "output.npy"),
        data=core.IntervalOrRatioDataDescr(type="float32", range=(0.0, 1.0)),
    )
    return core.ModelDescr(
        name=_title(names[1:]),
        description=card.note or f"Few-shot labels of {', '.join(names[1:])}"[:1000],
        authors=[core.Author(name=card.author.replace("/", "-"))],
        license=card.licence,
        cite=[core.CiteEntry(text=f"napari-fewshot {__version__}", url=_SOURCE)],
        tags=["segmentation", "few-shot", "napari-fewshot", f"{len(sides)}d"],
        documentation=file(source=where / "README.md"),
        inputs=[image],
        outputs=[probabilities],
        weights=core.WeightsDescr(
            onnx=core.OnnxWeightsDescr(source=where / "model.onnx", opset_version=OPSET)
        ),
    )


def _sizes(core: Any, side: str) -> Any:
    if side == "z":
        return core.ParameterizedSize(min=1, step=1)
    return core.ParameterizedSize(min=MIN_SIDE, step=1)


def _scaling(
    core: Any, intensity: IntensityConfig, sides: Sequence[str], channels: int
) -> list[Any]:
    """Grey values to 0..1, as in training."""
    limits = core.ClipDescr(kwargs=core.ClipKwargs(min=0.0, max=1.0))
    if intensity.mode == "window":
        gain = 1 / (intensity.high - intensity.low)
        linear = core.ScaleLinearKwargs(gain=gain, offset=-intensity.low * gain)
        return [core.ScaleLinearDescr(kwargs=linear), limits]
    shared = intensity.colour and channels == _COLOURS
    together = ("channel", *sides) if shared else tuple(sides)
    percentiles = core.ScaleRangeKwargs(
        axes=together, min_percentile=intensity.low, max_percentile=intensity.high
    )
    return [core.ScaleRangeDescr(kwargs=percentiles), limits]


def _identifier(name: str) -> str:
    """Name of a channel: letters, digits and underscores."""
    plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_")
    return plain if plain and not plain[0].isdigit() else f"label_{plain}"


def _title(names: Sequence[str]) -> str:
    """Name of the model, of the characters that the format allows."""
    words = re.sub(r"[^\w+\- ()]+", " ", " ".join(names), flags=re.ASCII)
    return textwrap.shorten(f"napari-fewshot {words}", _LONGEST_NAME, placeholder="")
