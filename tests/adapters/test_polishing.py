"""A small network trained on patches together with the adapter on its features."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest
import torch

from napari_fewshot.adapters.polishing import trainer
from napari_fewshot.adapters.polishing.expert import Head, PolishedExpert
from napari_fewshot.adapters.polishing.trainer import Polishing, Schedule
from napari_fewshot.backbones.embedded import EmbeddedBackbone
from napari_fewshot.backbones.embedded_network import EmbeddedNet, NetworkConfig
from napari_fewshot.config import ExtractionConfig, SegmenterConfig
from napari_fewshot.errors import Cancelled
from napari_fewshot.features.extract import FeatureExtractor
from napari_fewshot.templates import Template
from napari_fewshot.templates.patches import PatchSampler
from napari_fewshot.templates.training_set import TrainingSet
from napari_fewshot.types import Volume

CONFIG = SegmenterConfig(
    adapter="classification", classification={"hidden": 16, "steps": 20, "batch": 256}
)
TINY = NetworkConfig(widths=(4, 8, 8, 8, 8), depths=(1, 1, 1, 1), heads=2, head_width=8)
STEPS = 12


@pytest.fixture(autouse=True)
def two_patches(monkeypatch):
    """In each step, so that steps are quick."""
    monkeypatch.setattr(trainer, "_PATCHES", 2)


def training(scribble=False, channels=1, affine=None):
    rng = np.random.default_rng(0)
    labels = np.zeros((5, 32, 30), np.uint8)
    labels[[1, 3], 4:14, 6:20] = 1
    labels[[1, 3], 20:28, 10:25] = 2
    texture = rng.random(labels.shape) * np.array([0.2, 1.0, 0.5])[labels]
    image = texture.astype(np.float32)
    if channels > 1:
        image = np.stack([image] * channels, axis=-1)
    volume = Volume(image, (1.0,) * 3, affine, has_channels=channels > 1)
    if scribble:
        strokes = np.zeros_like(labels)
        strokes[[1, 3], 8, 6:20] = 1
        strokes[[1, 3], 24, 10:25] = 2
        strokes[[1, 3], 17:19] = 9
        return TrainingSet.of(Template(volume, strokes, kind="scribble", background=9), CONFIG)
    return TrainingSet.of(Template(volume, labels), CONFIG)


def backbone():
    torch.manual_seed(0)
    network = EmbeddedNet(TINY).eval().requires_grad_(False)
    return EmbeddedBackbone(network.to(memory_format=torch.channels_last), "tiny")


def fitted_head(known, own):
    head = Head.new(CONFIG, "cpu")
    extractor = FeatureExtractor(own, ExtractionConfig(), "cpu")
    head.fit(known.examples, known.maps(extractor), known.label_values)
    return head


def polished(known=None, steps=STEPS, before=0, progress=lambda *_: None, seconds=float("inf")):
    known = known or training()
    own = backbone()
    found = Polishing(own, fitted_head(known, own), known, seed=3, steps=before)
    found.run(Schedule(steps, seconds), progress)
    return found


@pytest.mark.parametrize("given", [{}, {"scribble": True, "channels": 2}])
def test_the_loss_falls(given, monkeypatch):
    monkeypatch.setattr(trainer, "_NETWORK_RATE", 2e-3)
    monkeypatch.setattr(trainer, "_HEAD_RATE", 1e-2)
    losses = polished(training(**given), steps=50).losses
    assert len(losses) == 50
    assert np.mean(losses[-20:]) < 0.97 * np.mean(losses[:20])


def test_the_backbone_that_it_began_with_stays_as_it_is():
    known, own = training(), backbone()
    before = {name: t.clone() for name, t in own.network.state_dict().items()}
    Polishing(own, fitted_head(known, own), known).run(Schedule(2))
    for name, tensor in own.network.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert not any(weight.requires_grad for weight in own.network.parameters())


def test_the_seed_decides_and_threads_do_not():
    first = polished().finish()
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1 if threads > 1 else 2)
        second = polished().finish()
    finally:
        torch.set_num_threads(threads)
    for name, weights in first.weights.items():
        np.testing.assert_array_equal(weights, second.weights[name])
    assert first.backbone.weights_hash == second.backbone.weights_hash
    other = polished(before=STEPS).finish()  # other patches are drawn
    assert other.backbone.weights_hash != first.backbone.weights_hash
    assert (first.steps, other.steps) == (STEPS, 2 * STEPS)


@pytest.mark.parametrize(("affine", "mirrored"), [(None, True), (np.eye(4), False)])
def test_sides_are_kept_where_images_have_an_orientation(affine, mirrored, monkeypatch):
    drawn = []
    draw = PatchSampler.draw

    def watched(self, *given):
        patch = draw(self, *given)
        along = patch.places[-1, 0] - patch.places[0, 0], patch.places[0, -1] - patch.places[0, 0]
        drawn.append(float(np.linalg.det(np.array(along))))
        return patch

    monkeypatch.setattr(PatchSampler, "draw", watched)
    polished(training(affine=affine))
    assert (min(drawn) < 0) == mirrored


def test_it_ends_when_nobody_wants_more_with_what_is_there():
    def progress(done, total, what):
        assert (total, what) == (STEPS, "polishing")
        if done == 3:
            raise Cancelled("enough")

    stopped = polished(progress=progress)
    assert stopped.steps == 3
    found = stopped.finish()
    assert found.steps == 3
    assert all(np.isfinite(weights).all() for weights in found.weights.values())


def test_it_ends_when_the_time_is_over(monkeypatch):
    assert polished(seconds=1e-9).steps == 0
    ticks = count()
    monkeypatch.setattr(trainer.time, "monotonic", lambda: 0.1 * next(ticks))
    fractions = []
    found = polished(
        steps=10**6, seconds=1.0, progress=lambda done, total, _: fractions.append(done / total)
    )
    assert 0 < found.steps < 10
    assert 0.1 < fractions[-1] < 1


def test_an_expert_comes_back_from_its_state():
    known = training()
    expert = polished(known).finish()
    again = PolishedExpert.restored(expert.state(), CONFIG, "cpu")
    assert again.backbone.weights_hash == expert.backbone.weights_hash
    assert again.steps == STEPS
    image, position = known.image(0), known.examples[0].position
    assert image.shape == (1, 32, 30)
    planes = []
    for one in (expert, again):
        extractor = FeatureExtractor(one.backbone, ExtractionConfig(), "cpu")
        planes.append(one.head.predict(next(known.maps(extractor, [0])), position))
    np.testing.assert_array_equal(*planes)
    assert all(weights.dtype == np.float16 for weights in expert.weights.values())


def test_weights_that_do_not_fit_their_shape_are_refused():
    state = polished(steps=1).finish().state()
    for shape in ({"head_width": 12}, {"out_channels": 24}):
        with pytest.raises(ValueError, match=r"shape|features"):
            PolishedExpert.of(state.shape | shape, state.weights, Head.new(CONFIG, "cpu"), 1)
