"""napari-convpaint: its classifier on one of its feature extractors, all settings its own."""

from __future__ import annotations

import argparse
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from common import Run, random_dinov2
from napari_convpaint import ConvpaintModel
from napari_convpaint.feature_extractors import dino, nnlayers


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare which features."""
    parser.add_argument("--features", choices=["gaussian", "vgg16", "dinov2"], required=True)


def random_weights(name: str, _: str) -> str:
    """Write a checkpoint of VGG16 of random weights in place of the download."""
    from torchvision.models import vgg16

    torch.manual_seed(0)
    path = Path(tempfile.mkdtemp()) / name
    torch.save(vgg16().state_dict(), path)
    return str(path)


def main() -> None:
    """Train, label, correct."""
    run = Run(add_options)
    dino.guided_model_download = random_weights
    nnlayers.guided_model_download = random_weights
    torch.hub.load = random_dinov2
    name = run.options.features
    model = ConvpaintModel() if name == "vgg16" else ConvpaintModel(alias=name)
    with run.stage("train"):
        model.train(run.image, run.paint)
    found = np.zeros(run.image.shape, np.uint8)
    with run.stage("predict"):
        found[run.slices] = model.segment(run.image[run.slices])
    with run.stage("retrain"):
        model.train(run.image, run.correction)
    with run.stage("slice"):
        model.segment(run.image[run.corrected])
    run.finish(found, version("napari-convpaint"), ("predict",))


if __name__ == "__main__":
    main()
