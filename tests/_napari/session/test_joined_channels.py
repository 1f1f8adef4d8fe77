"""Layers that are channels of one image: their grey values, and what is kept of them."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot import viewer_session

from .conftest import MINUTE

pytestmark = pytest.mark.viewer

SHAPE = (9, 40, 40)
QUICK = {"backbone": "multiscale", "adapter": "cosine"}


def opened(viewer, count=3):
    """Channels of one file, the last one much brighter than the others."""
    drawn = np.random.default_rng(0)
    layers = []
    for k in range(count):
        data = drawn.normal(50, 3, SHAPE).astype(np.float32)
        data[:, 10:25, 10 : 18 + 5 * k] += 60
        data *= 100 if k == count - 1 else 1
        metadata = {"source": "cells.tif"}
        layers.append(viewer.add_image(data, name=f"cells {k}", metadata=metadata))
    return layers


def painted(viewer):
    labels = np.zeros(SHAPE, np.uint8)
    labels[4, 10:25, 10:18], labels[4, 10:25, 18:30] = 1, 2
    return viewer.add_labels(labels, name="cells 1 labels")


def started(make_napari_viewer):
    """A viewer, its session, and three painted layers that are not joined yet."""
    viewer = make_napari_viewer()
    session = viewer_session(viewer)
    session.configure(**QUICK)
    layers = opened(viewer)
    painted(viewer)
    return viewer, session, layers


def test_three_layers_are_no_colours(make_napari_viewer):
    viewer = make_napari_viewer()
    session = viewer_session(viewer)
    first, second, third = opened(viewer)
    session.channels.join([first, second])
    assert session.settings.config.intensity.colour
    session.channels.join([second, first, third])
    assert not session.settings.config.intensity.colour
    assert session.channels.sets == ((second, first, third),)
    session.channels.forget(first)
    assert session.settings.config.intensity.colour
    session.close()


def test_a_model_that_learned_so_goes_on_so(make_napari_viewer):
    viewer, session, layers = started(make_napari_viewer)
    session.channels.join(layers)
    session.labelling.learn(layers[0], score=False).wait(MINUTE)
    assert not session.model.config.intensity.colour
    viewer.layers.remove(layers[2])
    assert not session.outdated
    session.close()


def test_they_are_joined_again_on_another_day(make_napari_viewer):
    _, session, layers = started(make_napari_viewer)
    session.channels.join([layers[1], layers[0], layers[2]])
    session.labelling.learn(layers[1], score=False).wait(MINUTE)
    wanted = session.result_layer(layers[1]).data.copy()
    folder = session.autosave_folder
    session.save().wait(MINUTE)
    session.close()
    later = make_napari_viewer()
    other = viewer_session(later)
    opened(later)
    other.restore(folder).wait(MINUTE)
    ((leader, *_),) = other.channels.sets
    assert leader is later.layers["cells 1"]
    np.testing.assert_array_equal(other.result_layer(leader).data, wanted)
    assert not other.settings.config.intensity.colour
    assert not other.outdated
    other.propagate(leader, into=other.result_layer(leader), policy="overwrite").wait(MINUTE)
    np.testing.assert_array_equal(other.result_layer(leader).data, wanted)
    other.close()
