"""napari-fewshot itself, in the same harness."""

from __future__ import annotations

import argparse

import numpy as np
from common import Run

from napari_fewshot import FeatureCache, FewShotSegmenter, Template, __version__

BACKGROUND = 255


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare which features."""
    parser.add_argument("--features", default="embedded")


def template(image: np.ndarray, paint: np.ndarray) -> Template:
    """Paint as strokes: what is not painted is unknown."""
    labels = np.where(paint > 1, paint, np.where(paint == 1, BACKGROUND, 0)).astype(np.int32)
    return Template(image, labels, axis=0, kind="scribble", background=BACKGROUND)


def main() -> None:
    """Train, label, correct; features are kept, as in the viewer."""
    run = Run(add_options)
    before, after = template(run.image, run.paint), template(run.image, run.correction)
    model = FewShotSegmenter(backbone=run.options.features, cache=FeatureCache(8000))
    model.extractor  # noqa: B018 # loading it is start-up, as the imports are
    with run.stage("train"):
        model.fit(before)
    with run.stage("predict"):
        found = model.predict(run.image, landmarks=False).labels.astype(np.uint8)
    with run.stage("retrain"):
        updated = model.updated(after)
    with run.stage("slice"):
        next(iter(updated.slice_predictor(run.image, landmarks=False).run([run.corrected])))
    found[found == 0] = 1
    run.finish(found, __version__)


if __name__ == "__main__":
    main()
