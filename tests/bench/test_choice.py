"""Which slices are painted: as many as are asked for, and those that were chosen before."""

from __future__ import annotations

import numpy as np
import pytest

from napari_fewshot.bench.templates import Candidate, choose


def slices(count: int) -> list[Candidate]:
    return [Candidate("a", k, k / max(1, count - 1), {1: 10 + k}) for k in range(count)]


@pytest.mark.parametrize("how", ["even", "first", "random", "representative"])
def test_as_many_as_asked_for_and_each_once(how):
    for total in range(2, 30):
        for count in range(1, total + 1):
            places = [one.index for one in choose(slices(total), count, how, 0)]
            assert places == sorted(set(places))
            assert len(places) == count, (total, count)


def test_even_slices_stay_where_they_were_distinct():
    for total in range(2, 40):
        for count in range(1, total):
            before = np.round(np.linspace(0, total - 1, count + 2)[1:-1]).astype(int).tolist()
            if len(set(before)) == count:
                assert [one.index for one in choose(slices(total), count, "even", 0)] == before
            else:
                assert count == total - 1
