"""The network of a model as an ONNX file, checked against the model before it is written."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import __version__
from ..errors import FewShotError, InputError
from ..predict.learned import LearnedModel
from ..types import Array
from .network import MIN_SIDE, SliceNetwork
from .sample import Sample

__all__ = ["OPSET", "Agreement", "quiet", "require", "write_onnx"]

OPSET = 18
_MAX_SIDE = 4096
_MIN_AGREEMENT = 0.999
_MAX_DIFFERENCE = 0.02
INSTALL = "pip install 'napari-fewshot[export]'"


@dataclass(frozen=True)
class Agreement:
    """How alike the exported network and the model are, on the sample.

    Parameters
    ----------
    alike : float
        Share of pixels that get the same label, 0..1.
    apart : float
        Largest difference of the confidence.
    """

    alike: float
    apart: float

    def __str__(self) -> str:
        """Both in words."""
        return (
            f"the same label in {100 * self.alike:.2f} % of the pixels, "
            f"confidence within {self.apart:.1g}"
        )


def require(*names: str) -> list[Any]:
    """Import libraries of the extra.

    Raises
    ------
    InputError
        If one is not installed.
    """
    found = []
    for name in names:
        try:
            with quiet():
                found.append(import_module(name))
        except ImportError:
            package = name.partition(".")[0]
            raise InputError(
                "--output",
                f"stay unwritten without {package}",
                "an environment that lacks it",
                f"Install it: {INSTALL}",
            ) from None
    return found


def write_onnx(
    path: Path, network: SliceNetwork, model: LearnedModel, sample: Sample
) -> tuple[Array, Agreement]:
    """Write the network, and ask the file for what it makes of the sample.

    Inputs are ``image`` (batch, channels, height, width), float32 in 0..1, or (batch, channels,
    slices, height, width) where a slice comes with its neighbours, and ``depth`` (batch, 1) where
    it counts; the output is ``probabilities`` (batch, labels + 1, height, width), whose channel 0
    is background. All but the channels may have any length, sides from
    :data:`~.network.MIN_SIDE` on.

    Returns
    -------
    probabilities : array
        Of the sample, by ONNX Runtime.
    agreement : Agreement
        With what the model makes of it.

    Raises
    ------
    FewShotError
        If the two do not agree; the file is then of no use.
    """
    runtime, onnx, _ = require("onnxruntime", "onnx", "onnxscript")
    inputs = {"image": sample.image}
    batch = torch.export.Dim("batch", min=1, max=1024)
    first = sample.image.ndim - len(_SIDES)
    sides = {
        n: torch.export.Dim(side, min=MIN_SIDE, max=_MAX_SIDE)
        for n, side in enumerate(_SIDES, first)
    }
    shapes: dict[str, dict[int, Any]] = {"image": {0: batch, **sides}}
    if network.uses_depth:
        inputs["depth"], shapes["depth"] = sample.depth, {0: batch}
    given = {name: torch.from_numpy(np.repeat(a[:1], 2, axis=0)) for name, a in inputs.items()}
    try:
        with quiet(), torch.enable_grad():  # without gradients, layers work on what they are given
            program = torch.onnx.export(
                network,
                (),
                kwargs=given,
                input_names=list(inputs),
                output_names=["probabilities"],
                opset_version=OPSET,
                dynamic_shapes=shapes,
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    except Exception as error:  # whatever the parts of an exporter that do not fit make of it
        raise FewShotError(
            f"torch {torch.__version__} could not write the network as ONNX "
            f"({type(error).__name__}). Update torch and onnxscript; torch 2.14 is tested."
        ) from error
    if program is None:
        raise FewShotError("torch gave no ONNX program.")
    exported = _plain(program.model_proto)
    onnx.helper.set_model_props(exported, _metadata(model))
    onnx.save(exported, str(path))
    with quiet():
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (found,) = session.run(None, inputs)
    agreement = _compared(found, model, sample)
    if agreement.alike < _MIN_AGREEMENT or agreement.apart > _MAX_DIFFERENCE:
        raise FewShotError(
            f"The exported network does not agree with the model: {agreement}. Nothing is written."
        )
    return found, agreement


_SIDES = ("height", "width")


def _plain(exported: Any) -> Any:
    """Leave out what the exporter notes for itself, as names of files on this machine."""
    graph = exported.graph
    del graph.value_info[:]
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return exported


def _compared(found: Array, model: LearnedModel, sample: Sample) -> Agreement:
    values = np.array([0, *model.label_values])
    return Agreement(
        float((values[found.argmax(axis=1)] == sample.labels).mean()),
        float(np.abs(found.max(axis=1) - sample.confidence).max()),
    )


def _metadata(model: LearnedModel) -> dict[str, str]:
    """What a program that reads the file may want to know."""
    intensity = model.config.intensity
    return {
        "made_with": f"napari-fewshot {__version__}",
        "label_values": json.dumps([0, *model.label_values]),
        "label_names": json.dumps(
            ["background", *(model.names.get(v, str(v)) for v in model.label_values)]
        ),
        "intensity": json.dumps(intensity.model_dump(mode="json")),
        "axis": json.dumps(model.axes[0]),
        "author": model.card.author,
        "licence": model.card.licence,
        "note": model.card.note,
    }


@contextmanager
def quiet() -> Iterator[None]:
    """Keep libraries from telling what they deprecate, and that they are at work."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
