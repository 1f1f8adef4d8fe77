"""The part of a model that is a network, written in the format that a file's name asks for."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..io.outputs import replacing
from ..predict.learned import LearnedModel

if TYPE_CHECKING:
    from ..segmenter import FewShotSegmenter
    from .onnx_file import Agreement

__all__ = ["Exported", "export_model"]

_SLICES = 3


@dataclass(frozen=True)
class Exported:
    """What was written.

    Parameters
    ----------
    path : Path
    agreement : Agreement
        How alike the file and the model are, on a computed image: ``alike``, the share of pixels
        with the same label, and ``apart``, the largest difference of the confidence.
    left_out : tuple of str
        What ``predict`` does with the model, and the file does not.
    """

    path: Path
    agreement: Agreement
    left_out: tuple[str, ...]


def _check_export(path: Path, model: LearnedModel) -> None:
    """Raise :class:`InputError` where a model cannot be exported to a file; before the work."""
    from .onnx_file import require
    from .package import check_card

    if path.suffix.lower() not in (".onnx", ".zip"):
        raise InputError("--output", "end in .onnx, or in .zip for a package of bioimage.io", path)
    if model.config.resampling.mode != "off":
        raise InputError(
            "model",
            "not resample its images to be exported",
            f"resampling.mode={model.config.resampling.mode}",
            "Train on images that have one spacing already.",
        )
    require("onnx", "onnxscript", "onnxruntime")
    if path.suffix.lower() == ".zip":
        require("bioimageio.spec")
        check_card(model.card)


def export_model(model: FewShotSegmenter, path: str | os.PathLike[str]) -> Exported:
    """Write the network of a model for other programs: ``.onnx``, or ``.zip`` for bioimage.io.

    The file holds what the model makes of one slice of an image that was not painted, with its
    neighbours where hand-made features see them: the features of the backbone, hand-made ones and
    those of a polished network, the adapter of each, their mean, and the smoothing within the
    slice. It is written only if ONNX Runtime makes of it what the model does. See
    :doc:`the guide </tasks/share-a-model>` for what goes in and comes out.

    Parameters
    ----------
    model : FewShotSegmenter
        Fitted or loaded, with the backbone ``embedded``, ``multiscale`` or ``multiscale-3d`` and
        the adapter ``contrastive`` or ``classification``.
    path : path
        A package needs an author and a licence on the card: see
        :meth:`~napari_fewshot.FewShotSegmenter.with_card`.

    Returns
    -------
    Exported

    Raises
    ------
    InputError
        If the model has parts that are no network of slices, the name of the file has another
        ending, the card lacks what a package needs, or the extra ``export`` is not installed.
    NotFittedError
        Before a fit.
    """
    file, predictor = Path(path), model.volume_predictor()
    learned = predictor.model
    _check_export(file, learned)

    from .network import SliceNetwork
    from .onnx_file import write_onnx
    from .package import write_package
    from .sample import make_sample
    from .words import left_out

    network = SliceNetwork(predictor.experts)
    sample = make_sample(predictor, _SLICES if network.is_of_volumes else 1, network.reach)
    with replacing(file, ending=file.suffix.lower()) as temporary:
        if file.suffix.lower() == ".onnx":
            _, agreement = write_onnx(temporary, network, learned, sample)
        else:
            with tempfile.TemporaryDirectory() as folder:
                onnx = Path(folder, "model.onnx")
                found, agreement = write_onnx(onnx, network, learned, sample)
                given = sample.raw
                if network.is_of_volumes:
                    from .volumes import as_volumes

                    as_volumes(onnx)
                    given, found = (np.moveaxis(one, 0, 1)[None] for one in (given, found))
                write_package(temporary, onnx, learned, (given, found), agreement)
    return Exported(file, agreement, tuple(left_out(learned)))
