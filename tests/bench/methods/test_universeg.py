"""UniverSeg: the cross convolution against a plain one, and checkpoints of the true format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from napari_fewshot import Template
from napari_fewshot.bench.methods import MethodContext
from napari_fewshot.bench.methods.universeg import SOURCE, UniverSeg, square
from napari_fewshot.bench.methods.universeg_network import (
    CrossConvolution,
    UniverSegNetwork,
    load_universeg,
)
from napari_fewshot.errors import InputError, NotFittedError, UnknownNameError, WeightsError
from napari_fewshot.types import Landmark, Volume

SIZES = [(4, 6), (5, 4), (6, 8)]


def official(sizes: list[tuple[int, int]] = SIZES) -> dict[str, torch.Tensor]:
    """Random tensors under the names and in the order of the official checkpoint."""
    torch.manual_seed(0)
    state: dict[str, torch.Tensor] = {}

    def add(name: str, *shape: int) -> None:
        state[f"{name}.weight"] = torch.randn(*shape) * (shape[1] * shape[2] ** 2) ** -0.5
        state[f"{name}.bias"] = torch.randn(shape[0]) * 0.1

    def block(name: str, channels: int, cross: int, width: int) -> None:
        add(f"{name}.cross.cross_conv", cross, channels, 3, 3)
        add(f"{name}.target.vmapped.conv", width, cross, 3, 3)
        add(f"{name}.support.vmapped.conv", width, cross, 3, 3)

    channels = 3
    for number, (cross, width) in enumerate(sizes):
        block(f"enc_blocks.{number}", channels, cross, width)
        channels = 2 * width
    below = sizes[-1][1]
    for number, (cross, width) in enumerate(sizes[-2::-1]):
        block(f"dec_blocks.{number}", 2 * (below + width), cross, width)
        below = width
    add("out_conv.conv", 1, below, 1, 1)
    return state


def plain(state: dict[str, torch.Tensor], image, images, masks, levels: int = 3) -> torch.Tensor:  # type: ignore[no-untyped-def]
    """The network written out: every pair is joined and convolved on its own."""

    def convolved(name: str, maps: torch.Tensor) -> torch.Tensor:
        kernel = state[f"{name}.weight"]
        return functional.conv2d(maps, kernel, state[f"{name}.bias"], padding=kernel.shape[-1] // 2)

    def block(name: str, target, support):  # type: ignore[no-untyped-def]
        pairs = [
            convolved(f"{name}.cross.cross_conv", torch.cat([target, one[None]], dim=1))[0]
            for one in support
        ]
        mean = torch.stack(pairs).mean(dim=0)[None]
        new = convolved(f"{name}.target.vmapped.conv", mean)
        others = [convolved(f"{name}.support.vmapped.conv", one[None])[0] for one in pairs]
        return functional.leaky_relu(new), functional.leaky_relu(torch.stack(others))

    double = torch.nn.UpsamplingBilinear2d(scale_factor=2)
    target, support = image[None, None], torch.stack([images, masks], dim=1)
    kept = []
    for level in range(levels):
        target, support = block(f"enc_blocks.{level}", target, support)
        if level < levels - 1:
            kept.append((target, support))
            target, support = (functional.max_pool2d(maps, 2, 2) for maps in (target, support))
    for level in range(levels - 1):
        target, support = (
            torch.cat([double(maps), skip], dim=1)
            for maps, skip in zip((target, support), kept.pop(), strict=True)
        )
        target, support = block(f"dec_blocks.{level}", target, support)
    return convolved("out_conv.conv", target)[0, 0]


def test_the_cross_convolution_equals_one_of_joined_channels() -> None:
    torch.manual_seed(0)
    cross = CrossConvolution(3, 2, 5)
    target, support = torch.randn(1, 3, 8, 7), torch.randn(4, 2, 8, 7)
    mean, each = cross(target, support)
    joined = torch.cat([target.expand(4, -1, -1, -1), support], dim=1)
    slow = cross.cross_conv(joined)
    torch.testing.assert_close(each, slow, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(mean, slow.mean(dim=0, keepdim=True), atol=1e-5, rtol=1e-4)


def test_the_network_equals_the_one_written_out(tmp_path: Path) -> None:
    state = official()
    torch.save(state, tmp_path / "net.pt")
    network = load_universeg(tmp_path / "net.pt")
    image, images = torch.rand(16, 24), torch.rand(3, 16, 24)
    masks = (torch.rand(3, 16, 24) > 0.5).float()
    with torch.inference_mode():
        found = network(image, images, masks)
    torch.testing.assert_close(found, plain(state, image, images, masks), atol=1e-5, rtol=1e-4)


def test_the_official_sizes() -> None:
    """Four blocks of 64 down and three up; 1,2M parameters, as the paper says."""
    network = UniverSegNetwork([(64, 64)] * 4, [(64, 64)] * 3)
    wanted = {name: tensor.shape for name, tensor in official([(64, 64)] * 4).items()}
    assert {name: tensor.shape for name, tensor in network.state_dict().items()} == wanted
    assert 1.17e6 < sum(p.numel() for p in network.parameters()) < 1.3e6


def universeg(work: Path, **settings: object) -> UniverSeg:
    if "weights" not in settings:
        torch.save(official(), work / SOURCE.official_file)
        settings["weights"] = str(work)
    return UniverSeg(settings, MethodContext(0, "cpu", work))


def scene() -> tuple[Volume, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.zeros((4, 20, 30), np.int32)
    labels[1:, 4:12, 5:14] = 3
    labels[1:, 10:18, 18:28] = 7
    image = rng.random(labels.shape, dtype=np.float32) + labels
    return Volume(image, (2.0, 1.0, 1.0)), labels


def test_labels_of_a_volume(tmp_path: Path) -> None:
    image, labels = scene()
    method = universeg(tmp_path)
    method.fit([Template(image, labels, axis=0)])
    found = method.predict(image, 0).labels
    assert found is not None
    assert found.shape == labels.shape
    assert set(np.unique(found)) <= {0, 3, 7}
    assert (found > 0).any()


def test_a_label_wins_where_it_is_the_best_and_above_one_half(tmp_path: Path) -> None:
    image, labels = scene()
    top = float(image.data.max())
    method = universeg(tmp_path, intensity={"mode": "window", "low": 0, "high": top})
    method.fit([Template(image, labels, axis=0)])
    state = official()
    slices = [square(image.data[k : k + 1] / top) for k in range(4)]
    target = torch.from_numpy(slices[1])
    logits = [np.zeros((128, 128), np.float32)]  # of background
    for value in (3, 7):
        rows = ((np.arange(128) + 0.5) * 20 / 128).astype(int)
        columns = ((np.arange(128) + 0.5) * 30 / 128).astype(int)
        masks = (labels == value)[1:, rows[:, None], columns]
        images = torch.from_numpy(np.stack(slices[1:]))
        logits.append(plain(state, target, images, torch.from_numpy(masks).float()).numpy())
    # Where the two labels are equal but for the last bits, either may win.
    ranked = np.sort(logits, axis=0)
    decided = ranked[2] - ranked[1] > 1e-5
    wanted = np.argmax(logits, axis=0)[decided]
    assert len(wanted) > 10_000
    assert np.bincount(wanted).min() > 1000
    found = method.classify(image.data[1:2] / top)
    assert found.shape == (3, 20, 30)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)
    at_128 = method.classify(np.asarray(slices[1])[None])
    np.testing.assert_array_equal(at_128.argmax(axis=0)[decided], wanted)


def test_ensembles_of_drawn_support_sets(tmp_path: Path) -> None:
    image, labels = scene()
    method = universeg(tmp_path, support=2, ensemble=3)
    method.fit([Template(image, labels, axis=0)])
    assert [len(sets) for sets in method._supports] == [3, 3]
    assert all(len(images) == 2 for sets in method._supports for images, _ in sets)
    found = method.predict(image, 0).labels
    assert found is not None


def test_constant_slices_are_zeros() -> None:
    constant = np.full((3, 9, 9), 0.7, np.float32)
    assert not square(constant).any()
    constant[:, 4, 4] = np.nextafter(constant[:, 4, 4], 1)  # a last bit is no structure
    assert not square(constant).any()


def test_foreign_and_missing_checkpoints(tmp_path: Path) -> None:
    image, labels = scene()
    template = Template(image, labels, axis=0)
    with pytest.raises(WeightsError, match="no sha256"):
        universeg(tmp_path, weights=None).fit([template])
    with pytest.raises(WeightsError, match="existing file"):
        universeg(tmp_path, weights=str(tmp_path / "none.pt")).fit([template])
    state = official()
    torch.save({"blocks.0.weight": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match="UniverSeg"):
        load_universeg(tmp_path / "other.pt")
    del state["out_conv.conv.bias"]
    torch.save(state, tmp_path / "part.pt")
    with pytest.raises(WeightsError, match=r"missing \(out_conv\.conv\.bias\)"):
        load_universeg(tmp_path / "part.pt")


def test_settings_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="support"):
        universeg(tmp_path, suport=3)
    with pytest.raises(InputError, match=r"settings\.ensemble"):
        universeg(tmp_path, ensemble=0)
    with pytest.raises(NotFittedError):
        universeg(tmp_path).predict(scene()[0], 0)


def test_landmarks_as_templates(tmp_path: Path) -> None:
    torch.save(official(), tmp_path / "net.pt")
    image = np.random.default_rng(0).random((3, 32, 40)).astype(np.float32)
    points = [Landmark("one", 1, (1.0, 8.0, 9.0)), Landmark("two", 2, (1.0, 20.0, 30.0))]
    context = MethodContext(seed=0, device="cpu", work=tmp_path, landmarks=True)
    method = UniverSeg({"weights": str(tmp_path / "net.pt")}, context)
    method.fit([Template(image, points=points)])
    found = method.predict(Volume(image, (1.0, 1.0, 1.0)), None)
    assert {point.name for point in found.landmarks} <= {"one", "two"}
