"""Every adapter: labels, confidence, held-out score and the model file."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors import safe_open

from napari_fewshot import FewShotSegmenter, Template

from .compare import Tolerance
from .scenes import SMALL_SAM

CASES = {
    f"{adapter} {kind}": {"adapter": adapter, **settings}
    for adapter in ("cosine", "classification", "contrastive")
    for kind, settings in {
        "embedded": {},
        "multiscale": {"backbone": "multiscale"},
        # On features that are here, and not refined: the methods are compared, not the chain.
        "published": {
            "preset": "published",
            "backbone": "embedded",
            "propagation": {"refinement": {"method": "none"}},
        },
    }.items()
}
CASES["contrastive concat"] = {"adapter": "contrastive", "contrastive": {
    "head": "concat", "hidden": 24, "width": 12, "steps": 30, "targets": 128,
    "similarity_loss": 0.1, "negative_distance": 3.0}}  # fmt: skip
CASES["seed"] = {"adapter": "classification", "seed": 5}
CASES["defaults"] = {}


@pytest.mark.parametrize("name", CASES)
def test_labels_confidence_and_score(segmenter, one, other, golden, name):
    model = segmenter(**CASES[name]).fit(one.template())
    found = model.predict(other.image)
    golden(
        name,
        labels=found.labels,
        confidence=found.confidence,
        landmarks=found.landmarks,
        names=found.names,
    )


@pytest.mark.parametrize("name", ["cosine embedded", "contrastive embedded"])
def test_held_out_score(segmenter, one, golden, name):
    score = segmenter(**CASES[name]).fit(one.template((2, 4, 6, 8))).held_out_score()
    golden(name, Tolerance(number=0.02), score=[score.dice, score.folds, score.grouped_by],
           mean=score.mean)  # fmt: skip


def model_content(path):
    """Names in a model file, and shapes of its tensors."""
    with safe_open(path, "numpy") as file:
        meta = file.metadata()
        tensors = {k: file.get_slice(k) for k in sorted(file.keys())}
        shapes = {k: [t.get_dtype(), *t.get_shape()] for k, t in tensors.items()}
    content = json.loads(meta["content"])
    return {
        "metadata": sorted(meta),
        "format": [meta["format"], meta["version"]],
        "content": sorted(content),
        "settings": sorted(content["config"]),
        "learned": {k: content[k] for k in ("label_values", "names", "axes", "channels")},
        "backbone": content["weights_hash"],
        "tensors": shapes,
    }


@pytest.mark.parametrize("name", ["cosine embedded", "classification published", "defaults"])
def test_model_file(segmenter, one, other, golden, name, tmp_path):
    model = segmenter(**CASES[name]).fit(one.template())
    model.save(tmp_path / "model.fewshot")
    golden(f"{name} file", content=model_content(tmp_path / "model.fewshot"))
    loaded = FewShotSegmenter.load(tmp_path / "model.fewshot", device="cpu")
    found = loaded.predict(other.image, landmarks=False)
    golden(name, labels=found.labels, confidence=found.confidence)


@pytest.mark.parametrize("preset", [None, "published"])
def test_sam_decoder(segmenter, one, other, golden, preset, tmp_path):
    painted = one.painted().data
    model = segmenter(
        backbone="sam-vit-b",
        weights=SMALL_SAM,
        adapter="sam-decoder",
        preset=preset,
        sam_decoder={"passes": 6, "variants": 1, "learning_rate": 1e-3},
    ).fit(Template(one.image, np.where(painted == 2, 1, painted)))  # places are learned late
    found = model.predict(other.image)
    name = f"sam-decoder {preset or 'default'}"
    golden(name, labels=found.labels, confidence=found.confidence, landmarks=found.landmarks)
    model.save(tmp_path / "model.fewshot")
    golden(f"{name} file", content=model_content(tmp_path / "model.fewshot"))
