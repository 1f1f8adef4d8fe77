"""Images that can be learned from, what is said of them, and which slices a step has."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from napari_fewshot.config import FinetuneConfig
from napari_fewshot.errors import InputError
from napari_fewshot.finetuning.scans import Scans
from napari_fewshot.io import write_image
from napari_fewshot.types import Volume


def test_what_cannot_be_read_is_constant_or_small_is_left_out_and_listed(volumes, tmp_path):
    good = tmp_path / "good.nii.gz"
    write_image(good, volumes[0].data.astype(np.float32), volumes[0])
    damaged = tmp_path / "damaged.nii.gz"
    damaged.write_bytes(good.read_bytes()[:100])
    flat = np.full((4, 32, 32), 7, np.uint8)
    found = Scans.of(
        [good, damaged, flat, volumes[1].data[:, :8], da.from_array(volumes[2].data)],
        FinetuneConfig(),
    )
    assert len(found) == 2
    assert [name for name, _ in found.left_out] == [str(damaged), "image 2", "image 3"]
    assert "constant" in found.left_out[1][1]
    assert "too small" in found.left_out[2][1]
    summary = found.summary
    assert (summary.images, summary.slices, summary.left_out) == (2, 12, 3)
    assert summary.describe().startswith("2 images, 12 slices of 40 × 36 pixels (grey), spacing")
    assert "good" not in str(summary.to_dict())


def test_a_step_has_the_same_slices_whatever_was_drawn_before(volumes):
    config = FinetuneConfig(open_images=2, stay=2)

    def drawn(scans, step):
        one = scans.draw(step, np.random.default_rng([1, step]))
        return one.stack.digest(one.index)

    scans = Scans.of(volumes, config)
    straight = [drawn(scans, step) for step in range(12)]
    again = Scans.of(volumes, config)
    assert [drawn(again, step) for step in reversed(range(12))] == straight[::-1]
    assert len(set(straight)) > 4


def test_every_image_has_its_turn_and_few_are_open(volumes):
    scans = Scans.of(volumes, FinetuneConfig(open_images=1, stay=1))
    rng = np.random.default_rng(0)
    seen = set()
    for step in range(3):
        seen.add(id(scans.draw(step, rng).stack.volume))
        assert len(scans._open) <= 2
    assert len(seen) == 3


def test_all_axes_are_drawn_and_constant_slices_are_not():
    data = np.zeros((40, 30, 20), np.float32)
    data[:20] = np.random.default_rng(0).random((20, 30, 20))
    scans = Scans.of([data], FinetuneConfig(axis="all"))
    rng = np.random.default_rng(0)
    drawn = [scans.draw(step, rng) for step in range(30)]
    assert {one.stack.axis for one in drawn} == {0, 1, 2}
    assert all(np.ptp(one.stack.slice(one.index)) > 0 for one in drawn)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ([], "images must have one that can be learned from; got none"),
        ([np.zeros((4, 32, 32))], "image 0: it is constant"),
        ([np.zeros((4, 8, 8))], "image 0: slices of 8 × 8 pixels are too small"),
    ],
)
def test_without_an_image_that_is_good_the_first_fault_is_told(images, words):
    with pytest.raises(InputError, match=words.replace("(", r"\(")):
        Scans.of(images, FinetuneConfig())


def test_images_of_several_channel_counts_are_refused(volumes):
    rng = np.random.default_rng(0)
    colour = Volume(rng.random((32, 32, 3)), (1.0, 1.0), has_channels=True)
    with pytest.raises(InputError, match=r"one number of channels; got 1 \(image 0\) and 3"):
        Scans.of([volumes[0], colour], FinetuneConfig())
    assert len(Scans.of([volumes[0], colour], FinetuneConfig(intensity={"channels": [0]}))) == 2


def test_an_axis_that_no_image_has_is_refused(volumes):
    with pytest.raises(InputError, match="axis"):
        Scans.of(volumes, FinetuneConfig(axis="axial"))
