"""Memory of copies is used again, and can be fetched ahead."""

from __future__ import annotations

import time

import numpy as np

from napari_fewshot._napari.session.autosave.spares import Spares


def test_a_copy_is_its_own_and_its_memory_the_next_one_s():
    spares, data = Spares(), np.arange(6).reshape(2, 3)
    first = spares.copied(data)
    data[0, 0] = 9
    assert first[0, 0] == 0
    spares.keep([first, None])
    assert spares.copied(data) is first
    assert first[0, 0] == 9
    assert spares.copied(data) is not first


def test_memory_is_fetched_for_what_there_is_none_for():
    spares, one = Spares(), np.ones((3, 4), np.float32)
    spares.keep([spares.copied(one)])
    spares.reserve([one, one, np.ones(5, np.int8), None])
    until = time.monotonic() + 10
    while len(spares._arrays) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    found = sorted((a.shape, a.dtype.name) for a in spares._arrays)
    assert found == [((3, 4), "float32"), ((3, 4), "float32"), ((5,), "int8")]
