"""The U-Net learns a phantom in seconds, stops by its rule and goes on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_fewshot import Template
from napari_fewshot.bench.methods import METHODS, MethodContext
from napari_fewshot.bench.methods.unet import UNet
from napari_fewshot.errors import Cancelled, InputError, NotFittedError, UnknownNameError
from napari_fewshot.phantoms import make_phantom, painted_labels, template_slices
from napari_fewshot.types import Landmark, Volume

torch = pytest.importorskip("torch")
pytest.importorskip("monai", reason="monai (extra baselines) is not installed")

QUICK = {"width": 4, "batch": 2, "steps": 4, "epochs": 3}


def disks(slices: int = 6, side: int = 32) -> tuple[Volume, np.ndarray]:
    """A bright disk (1) and a dark one (2) that wander, on grey with a little noise."""
    rows, columns = np.mgrid[:side, :side]
    labels = np.zeros((slices, side, side), np.uint8)
    for k in range(slices):
        labels[k][np.hypot(rows - 10 - k, columns - 9) < 6] = 1
        labels[k][np.hypot(rows - 20, columns - 23 + k) < 5] = 2
    image = np.array([0.5, 0.9, 0.1])[labels]
    image += np.random.default_rng(0).normal(0, 0.05, image.shape)
    return Volume(image.astype(np.float32), (1.0, 1.0, 1.0)), labels


def painted(labels: np.ndarray, *slices: int) -> np.ndarray:
    kept = np.zeros_like(labels)
    kept[list(slices)] = labels[list(slices)]
    return kept


def dice(found: np.ndarray, truth: np.ndarray, value: int) -> float:
    a, b = found == value, truth == value
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def unet(work: Path, **settings: object) -> UNet:
    return UNet(settings, MethodContext(0, "cpu", work))


def test_it_learns_two_labels_from_two_slices(tmp_path: Path) -> None:
    image, labels = disks()
    method = unet(tmp_path, width=8, batch=2, steps=10, epochs=12, learning_rate=5e-3)
    method.fit([Template(image, painted(labels, 1, 4), axis=0)])
    found = method.predict(image, 0)
    assert found.labels is not None
    assert found.labels.shape == labels.shape
    unseen = [0, 2, 3, 5]
    for value in (1, 2):
        assert dice(found.labels[unseen], labels[unseen], value) > 0.8
    assert found.landmarks == ()


@pytest.mark.slow
def test_it_learns_a_phantom(tmp_path: Path) -> None:
    phantom = make_phantom("joint", 0, (24, 64, 64))
    slices = template_slices(phantom, 4)
    method = unet(tmp_path, width=8, steps=20, epochs=15, learning_rate=4e-3)
    method.fit([Template(phantom.image, painted_labels(phantom, slices), axis=0)])
    found = method.predict(phantom.image, 0).labels
    assert found is not None
    unseen = [k for k in range(24) if k not in slices]
    scores = [dice(found[unseen], phantom.labels.data[unseen], v) for v in (1, 2, 3)]
    assert np.mean(scores) > 0.4


def test_results_lie_on_the_grid_of_the_file(tmp_path: Path) -> None:
    """Along a flipped axis, resampled on the way."""
    phantom = make_phantom("torso", 0, (8, 24, 20), storage="RPI")
    axis = 0
    labels = painted_labels(phantom, template_slices(phantom, 2, axis), axis)
    method = unet(tmp_path, **QUICK, resampling={"mode": "isotropic", "spacing": 20.0})
    method.fit([Template(phantom.image, labels, axis=axis)])
    found = method.predict(phantom.image, axis).labels
    assert found is not None
    assert found.shape == phantom.image.shape
    assert set(np.unique(found)) <= {0, *phantom.labels.names}


def test_unpainted_pixels_of_a_scribble_are_not_learned_as_background(tmp_path: Path) -> None:
    """With no background painted there is no reason to predict any."""
    image, labels = disks()
    method = unet(tmp_path, width=4, batch=2, steps=8, epochs=4, learning_rate=1e-2)
    method.fit([Template(image, painted(labels, 2).astype(np.int16), kind="scribble", axis=0)])
    found = method.predict(image, 0).labels
    assert found is not None
    assert (found == 0).mean() < 0.02


def test_merged_classes_are_one_foreground(tmp_path: Path) -> None:
    image, labels = disks()
    method = unet(tmp_path, width=8, batch=2, steps=10, epochs=12, merge=True, loss="binary")
    method.fit([Template(image, painted(labels, 1, 4), axis=0)])
    found = method.predict(image, 0)
    assert found.labels is not None
    assert found.scored == "union"
    assert dice(found.labels, labels > 0, 1) > 0.7


def test_binary_loss_knows_one_foreground(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='merge = true with loss "binary"'):
        unet(tmp_path, loss="binary")


def test_an_interrupted_training_goes_on(
    tmp_path: Path, assert_same_labels: Callable[..., None]
) -> None:
    image, labels = disks()
    template = Template(image, painted(labels, 1, 4), axis=0)
    whole = unet(tmp_path / "whole", **QUICK)
    whole.fit([template])

    def stop(done: int, total: int, what: str) -> None:
        if done == 6:  # in the middle of the second epoch
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        unet(tmp_path / "parts", **QUICK).fit([template], stop)
    seen: list[int] = []
    later = unet(tmp_path / "parts", **QUICK)
    later.fit([template], lambda done, total, what: seen.append(done))
    assert seen[0] == 5
    assert later.state is not None
    assert whole.state is not None
    assert later.state.resumed
    assert later.state.losses == pytest.approx(whole.state.losses, rel=1e-3)
    first, second = (m.predict(image, 0).labels for m in (whole, later))
    assert_same_labels(first, second)

    other = unet(tmp_path / "parts", **QUICK)
    other.fit([Template(image, painted(labels, 3), axis=0)])
    assert other.state is not None
    assert not other.state.resumed  # other templates: nothing is taken over


def test_a_damaged_checkpoint_starts_anew(tmp_path: Path) -> None:
    (tmp_path / "unet.pt").write_bytes(b"not a checkpoint at all")
    image, labels = disks()
    method = unet(tmp_path, **QUICK)
    method.fit([Template(image, painted(labels, 2), axis=0)])
    assert method.state is not None
    assert not method.state.resumed


def test_the_loss_of_held_out_volumes_is_watched(tmp_path: Path) -> None:
    templates = []
    for k in range(4):  # of four images: one that is given four times is one
        image, labels = disks()
        other = image.with_data(image.data + k)
        templates.append(Template(other, painted(labels, 2), axis=0))
    method = unet(tmp_path, **QUICK, held_out=0.25)
    method.fit(templates)
    assert method.state is not None
    assert method.state.watched != method.state.losses
    alone = unet(tmp_path / "alone", **QUICK, held_out=0.2)
    alone.fit(templates)
    assert alone.state is not None
    assert alone.state.watched == alone.state.losses


def test_colour_and_points(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = Volume(rng.random((40, 36, 3), dtype=np.float32), (1.0, 1.0), has_channels=True)
    point = Landmark("tip", 1, (0.0, 20.0, 12.0))
    method = unet(tmp_path, **QUICK)
    method.fit([Template(image, points=[point])])
    found = method.predict(image, None)
    assert found.labels is None
    assert all(mark.label == 1 and mark.name == "tip" for mark in found.landmarks)
    grey = Volume(rng.random((40, 36), dtype=np.float32), (1.0, 1.0))
    with pytest.raises(InputError, match="3 channels"):
        method.predict(grey, None)


def test_slices_larger_than_a_patch(tmp_path: Path) -> None:
    image, labels = disks(side=80)
    method = unet(tmp_path, **QUICK, patch=32)
    method.fit([Template(image, painted(labels, 2), axis=0)])
    found = method.predict(image, 0).labels
    assert found is not None
    assert found.shape == labels.shape


def test_settings_are_checked(tmp_path: Path) -> None:
    assert METHODS.get("unet").needs == ("monai",)
    with pytest.raises(UnknownNameError, match="epochs"):
        unet(tmp_path, epoch=3)
    with pytest.raises(InputError, match=r"settings\.width"):
        unet(tmp_path, width=1)
    former = unet(tmp_path, passes=3, least_gain=0.5).config
    assert (former.epochs, former.min_gain) == (3, 0.5)
    with pytest.raises(NotFittedError):
        unet(tmp_path).predict(disks()[0], 0)


def test_a_missing_module_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import napari_fewshot.bench.methods.baseline as module

    monkeypatch.setattr(module, "find_spec", lambda name: None)
    image, labels = disks()
    with pytest.raises(InputError, match=r"napari-fewshot\[baselines\]"):
        unet(tmp_path).fit([Template(image, painted(labels, 2), axis=0)])
