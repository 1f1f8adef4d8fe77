"""The network of a model says of a slice what the model does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_fewshot import FewShotSegmenter, Template, Volume
from napari_fewshot.errors import InputError
from napari_fewshot.export.network import SliceNetwork
from napari_fewshot.features.encode import context_slices
from napari_fewshot.slices.stack import SliceStack

from .conftest import QUICK, cells, fitted


def compare(model: FewShotSegmenter, volume: Volume, index: int) -> tuple[float, float]:
    """Share of pixels with the same label, and the largest difference of confidence."""
    experts = model.volume_predictor().experts
    network, stack = SliceNetwork(experts), SliceStack(volume, 0, model.config.intensity)
    depth = stack.position(index).columns(np.zeros(1, int))[:, :1]
    near = context_slices(index, len(stack), network.reach)
    image = np.stack([stack.slice(k) for k in near], axis=1)[None]
    image = image if network.reach else image[:, :, 0]
    given = torch.from_numpy(image), torch.from_numpy(depth)
    with torch.no_grad():
        (found,) = network(*given if network.uses_depth else given[:1]).numpy()
    _, numbers = stack.file_slices()
    wanted = model.slice_predictor(volume).preview(numbers.index(index))
    whole = np.broadcast_to(found.argmax(axis=0), (len(stack), *stack.shape))
    labels = np.array([0, *model.label_values_])[stack.to_file(whole)]
    sure = stack.to_file(np.broadcast_to(found.max(axis=0), whole.shape))
    at = (0,) * (volume.ndim == 3)
    return (
        float((labels[at] == wanted.labels).mean()),
        float(np.abs(sure[at] - wanted.confidence).max()),
    )


def test_all_of_the_default(model, other):
    alike, apart = compare(model, other, 3)
    assert alike > 0.9999
    assert apart < 1e-3


def test_it_counts_which_slice_of_the_volume_it_is(model):
    network = SliceNetwork(model.volume_predictor().experts)
    image = torch.rand(2, 1, 7, 128, 130)
    assert network.reach == 3
    assert network.uses_depth
    below, above = (network(image, torch.full((2, 1), depth)) for depth in (-0.9, 0.9))
    assert (below - above).abs().max() > 0.02
    torch.testing.assert_close(network(image), network(image, torch.zeros(2, 1)))


@pytest.mark.parametrize(
    "settings",
    [
        {"adapter": "classification"},
        {"contrastive": {**QUICK, "head": "concat"}},
        {"backbone": "multiscale"},
        {"backbone": "multiscale-3d"},
        {"position": {"use": False}, "experts": {"hand_made": False}},
        {
            "propagation": {"smoothing": 0},
            "intensity": {"mode": "window", "low": -160, "high": 240},
        },
    ],
    ids=["classification", "concat", "multiscale", "multiscale-3d", "alone", "window"],
)
def test_other_settings(settings, other):
    model = fitted(**settings)
    alike, apart = compare(model, other, 2)
    assert alike > 0.9999
    assert apart < 1e-3
    uses_position = settings.get("position", {}).get("use", True)
    assert SliceNetwork(model.volume_predictor().experts).uses_depth == uses_position


def test_a_polished_network(other, monkeypatch):
    monkeypatch.setattr("napari_fewshot.segmenter.polishing.STEPS", 2)
    model = fitted().polish()
    assert model.polished_steps_
    alike, apart = compare(model, other, 2)
    assert alike > 0.9999
    assert apart < 1e-3


@pytest.mark.parametrize("channels", [2, 3])
def test_channels(channels):
    image, labels = cells(channels)
    model = FewShotSegmenter(device="cpu", contrastive=QUICK)
    model.fit(Template(Volume(image, (1.0, 1.0), has_channels=True), labels))
    another = Volume(cells(channels, seed=1)[0], (1.0, 1.0), has_channels=True)
    alike, apart = compare(model, another, 0)
    assert alike > 0.9999
    assert apart < 1e-3
    assert not SliceNetwork(model.volume_predictor().experts).is_of_volumes


def test_the_model_stays_as_it_was(model, other):
    before = model.predict(other)
    SliceNetwork(model.volume_predictor().experts)
    after = model.predict(other)
    np.testing.assert_array_equal(before.confidence, after.confidence)


def test_what_is_no_network_is_refused():
    model = fitted(adapter="cosine")
    with pytest.raises(InputError, match="adapter contrastive or classification") as told:
        SliceNetwork(model.volume_predictor().experts)
    assert "got cosine" in str(told.value)
