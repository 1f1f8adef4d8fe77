from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch

from napari_fewshot.config import ExtractionConfig
from napari_fewshot.errors import FewShotError, InputError
from napari_fewshot.features.encode import SliceEncoder, context_slices

EXACT = {"precision": "float32", "min_tokens": 4}


def encode(backbone, source, wanted=(0,), **config):
    encoder = SliceEncoder(backbone, ExtractionConfig(**(EXACT | config)), "cpu")
    return features(encoder, source, wanted)


def features(encoder, source, wanted):
    """Features (C, h, w) of slices, put together where they come in parts."""
    found = {}
    for k in wanted:
        parts = list(encoder.parts(source, k))
        found[k] = parts[0].data
        if len(parts) > 1:
            found[k] = np.full((parts[0].channels, *source.shape), np.nan, np.float32)
            for part in parts:
                (row, column), (height, width) = part.origin, part.shape
                found[k][:, row : row + height, column : column + width] = part.data
    return found


def test_tiles_give_what_one_piece_gives(tiny):
    source = tiny.random_source(1, (150, 230))
    backbone = tiny.ConvBackbone()
    whole = encode(backbone, source)[0]
    assert backbone.shapes == {(1, 3, 152, 232)}
    for overlap in (0.0, 0.25, 0.6):
        tiled = tiny.ConvBackbone()
        result = encode(tiled, source, max_side=64, overlap=overlap)[0]
        assert tiled.shapes == {(1, 3, 64, 64)}
        assert result.shape == whole.shape == (5, 38, 58)
        assert np.allclose(result, whole, atol=1e-5)


class PeekingBackbone:
    """Cells see their neighbours, zeros beyond the tile: seams would show."""

    def __init__(self, inner):
        self.inner = inner
        self.spec = inner.spec
        self.weights_hash = inner.weights_hash

    def encode(self, images):
        return torch.nn.functional.avg_pool2d(self.inner.encode(images), 3, 1, 1)


def test_periodic_content_has_no_seams(tiny):
    """Away from the border of the image, where tiles fade into each other, nothing shows."""
    row = np.sin(np.arange(256) * 2 * np.pi / 4)  # the period is the patch
    source = tiny.ArraySource((0.5 + 0.25 * row + 0.25 * row[:, None])[None, None])
    exact = encode(tiny.ConvBackbone(), source, max_side=64, overlap=0.25)[0]
    assert np.ptp(exact, axis=(1, 2)).max() < 1e-5

    peeking = PeekingBackbone(tiny.ConvBackbone())
    tiled = encode(peeking, source, max_side=64, overlap=0.5)[0][:, 1:-1, 1:-1]
    scale = np.abs(tiled).max()
    # The border cell of a tile is a third off; its weight in the blend is 1/16.
    assert np.ptp(tiled, axis=(1, 2)).max() < 0.07 * scale
    steps = np.abs(np.diff(tiled, axis=2)).max()
    assert steps < 0.07 * scale


def test_local_features_agree_inside_even_if_cells_see_their_neighbours(tiny):
    source = tiny.random_source(1, (64, 256))
    peeking = PeekingBackbone(tiny.ConvBackbone())
    whole = encode(peeking, source)[0]
    tiled = encode(peeking, source, max_side=64, overlap=0.0)[0]
    inside = np.arange(64) % 16 % 15 != 0
    assert np.allclose(tiled[..., inside], whole[..., inside], atol=1e-5)
    assert not np.allclose(tiled, whole, atol=1e-2)


@pytest.mark.parametrize("shape", [(60, 75), (20, 33), (100, 41)])
@pytest.mark.parametrize("min_tokens", [4, 31])
@pytest.mark.parametrize("resize", ["grid", "longest", "square"])
def test_cells_map_to_the_right_pixels(tiny, shape, min_tokens, resize):
    """In an image of coordinates, the mean of a cell is the coordinate of its centre."""
    prep = {"resize": resize, "size": 140, "channels": 1}
    backbone = tiny.ConvBackbone(stride=7, features=1, prep=prep)
    backbone.weight = torch.full_like(backbone.weight, 1 / 49)
    config = ExtractionConfig(min_tokens=min_tokens, precision="float32")
    coordinates = np.indices(shape, dtype=np.float32) / 100
    source = tiny.ArraySource(coordinates[:, None])
    encoder = SliceEncoder(backbone, config, "cpu")
    maps = features(encoder, source, [0, 1])
    extent = encoder.layout(source).extent
    cells = [e / n for e, n in zip(extent, maps[0].shape[1:], strict=True)]
    centres = [
        (np.arange(n) + 0.5) * c - 0.5 for n, c in zip(maps[0].shape[1:], cells, strict=True)
    ]
    # Within two pixels of the border, enlarging and padding bend the coordinates.
    inside = np.ix_(
        *(
            (c - cell / 2 > 2) & (c + cell / 2 < n - 3)
            for c, cell, n in zip(centres, cells, shape, strict=True)
        )
    )
    expected = np.meshgrid(*centres, indexing="ij")
    for axis in (0, 1):
        assert expected[axis][inside].size >= 9
        assert np.allclose(100 * maps[axis][0][inside], expected[axis][inside], atol=0.02)


@pytest.mark.parametrize("shape", [(8, 300), (300, 8), (5, 7), (1, 1)])
@pytest.mark.parametrize("resize", ["grid", "longest", "square", "none"])
def test_odd_slices_work(tiny, shape, resize):
    backbone = tiny.ConvBackbone(prep={"resize": resize, "size": 64})
    data = encode(backbone, tiny.random_source(1, shape), max_side=128, min_tokens=16)[0]
    assert np.isfinite(data).all()
    if resize == "grid":
        assert min(data.shape[1:]) >= 16


def test_neighbours_are_the_context_and_edge_slices_repeat(tiny):
    values = np.arange(1, 6, dtype=np.float32) / 10
    source = tiny.ArraySource(np.broadcast_to(values[:, None, None, None], (5, 1, 16, 16)))
    seen = []

    class Looking(tiny.ConvBackbone):
        def encode(self, images):
            seen.extend(images[:, :, 0, 0, 0].tolist())
            return super().encode(images)

    backbone = Looking(context=1, prep={"channels": 1})
    encode(backbone, source, range(5))
    expected = [[1, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5], [4, 5, 5]]
    assert np.allclose(np.array(seen) * 10, expected, atol=1e-5)
    assert context_slices(0, 1, 2) == [0, 0, 0, 0, 0]


def test_each_slice_is_read_once_though_it_is_context_of_others(tiny):
    source = tiny.random_source(8, (16, 16))
    reads = []
    source.slice = lambda k: reads.append(k) or source.array[k]
    encode(tiny.ConvBackbone(context=1, prep={"channels": 1}), source, range(8))
    assert reads == list(range(8))


def test_slices_that_were_read_are_not_kept(tiny):
    """An extractor lives as long as its model, which may label many large volumes."""
    source = tiny.random_source(3, (16, 16))
    backbone = tiny.ConvBackbone(context=1, prep={"channels": 1})
    encoder = SliceEncoder(backbone, ExtractionConfig(**EXACT), "cpu")
    features(encoder, source, [0, 2])
    alive = weakref.ref(source)
    del source
    gc.collect()
    assert alive() is None
    other = tiny.random_source(3, (16, 16), seed=1)
    assert np.allclose(features(encoder, other, [0])[0], encode(backbone, other)[0], atol=1e-6)


def test_other_channel_counts_are_joined(tiny):
    source = tiny.random_source(2, (20, 24), channels=4)
    joined = encode(tiny.ConvBackbone(), source, [0, 1], max_side=64)
    for k in (0, 1):
        parts = [
            encode(tiny.ConvBackbone(), tiny.ArraySource(source.array[:, c : c + 1]), [k])[k]
            for c in range(4)
        ]
        assert joined[k].shape == (20, 5, 6)
        assert np.allclose(joined[k], np.concatenate(parts), atol=1e-6)


def test_a_pixel_grid_backbone_gets_the_slice_as_it_is(tiny):
    source = tiny.random_source(2, (37, 41), channels=2)
    prep = {"channels": None, "resize": "none", "multiple": 1}
    backbone = tiny.ConvBackbone(stride=1, features=3, prep=prep)
    backbone.weight = backbone.weight.repeat(1, 2, 1, 1)
    assert encode(backbone, source, [0, 1], max_side=64)[1].shape == (3, 37, 41)
    assert backbone.shapes == {(1, 2, 37, 41)}


def test_a_processor_encodes_one_input_at_a_time(tiny):
    backbone = tiny.ConvBackbone()
    encode(backbone, tiny.random_source(3, (40, 48)), range(3), batch=4)
    fixed = tiny.ConvBackbone(prep={"resize": "longest", "size": 64})
    encode(fixed, tiny.random_source(3, (40, 48)), range(3), batch=4)
    assert backbone.batches == fixed.batches == [1, 1, 1]


def test_a_large_pixel_grid_comes_in_parts_and_is_read_by_window(tiny):
    source = tiny.random_source(1, (150, 230))
    dense = {"stride": 1, "prep": {"resize": "none", "multiple": 8}}
    whole = encode(tiny.ConvBackbone(**dense), source)[0]
    dense["prep"]["size"] = 64
    encoder = SliceEncoder(tiny.ConvBackbone(**dense), ExtractionConfig(**EXACT), "cpu")
    source.slice, array = None, source.array  # nobody reads it whole
    source.window = lambda k, window: array[k][:, *window]
    parts = list(encoder.parts(source, 0))
    assert len(parts) == len(encoder.layout(source).origins) == 15
    for part in parts:
        (row, column), (height, width) = part.origin, part.shape
        assert part.is_dense
        assert np.allclose(
            part.data, whole[:, row : row + height, column : column + width], atol=1e-6
        )


@pytest.mark.parametrize(("precision", "word"), [("float32", "weights"), ("bfloat16", "float32")])
def test_features_that_are_not_finite_name_their_slice(tiny, precision, word):
    source = tiny.random_source(3, (16, 16))
    source.array[1] = 1.0

    class Bursting(tiny.ConvBackbone):
        def encode(self, images):
            result = super().encode(images)
            result[images.amin(dim=(1, 2, 3, 4)) == 1] = float("inf")
            return result

    with pytest.raises(FewShotError, match=rf"slice 1 that are not finite.*{word}"):
        encode(Bursting(), source, range(3), precision=precision)


def test_a_bad_slice_is_named(tiny):
    source = tiny.random_source(3, (16, 16))
    source.array[2, 0, 3, 3] = np.nan
    with pytest.raises(InputError, match="slice 2 must be finite"):
        encode(tiny.ConvBackbone(), source, range(3))
