"""Pieces of work side by side: order, how far ahead, errors, and what is left as it was."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch

from napari_fewshot.parallel import one_thread_each, ordered_map, used_up, worker_count


@pytest.fixture(params=[1, 2, 4])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_results_come_in_the_order_of_the_items(threads):
    rng = np.random.default_rng(0)

    def slowly(n):
        time.sleep(float(rng.random()) / 500)
        return n * n

    assert list(ordered_map(slowly, range(40))) == [n * n for n in range(40)]


def test_as_many_pieces_at_once_as_there_are_threads(threads):
    assert worker_count() == threads
    together = threading.Barrier(threads, timeout=60)
    assert len(list(ordered_map(lambda _: together.wait(), range(3 * threads)))) == 3 * threads


def test_few_items_are_taken_ahead(threads):
    taken = []

    def items():
        for n in range(100):
            taken.append(n)
            yield n

    results = ordered_map(abs, items())
    for wanted in range(20):
        assert next(results) == wanted
        assert len(taken) <= wanted + 2 + threads
    results.close()
    assert len(taken) <= 21 + threads


def test_an_error_comes_where_its_result_would(threads):
    def fail(n):
        if n == 5:
            raise ValueError("five")
        return n

    results = ordered_map(fail, range(50))
    assert [next(results) for _ in range(5)] == list(range(5))
    with pytest.raises(ValueError, match="five"):
        next(results)
    assert list(ordered_map(abs, range(3))) == [0, 1, 2]  # the workers are still there


def test_an_error_whose_traceback_is_kept_holds_no_threads(threads):
    def numbers():
        yield from ordered_map(abs, range(9))

    def fail(n):
        if n == 5:
            raise ValueError("five")
        return n

    def work():
        streams = [ordered_map(fail, numbers()), numbers()]
        with used_up(*streams):
            return [one + other for one, other in zip(*streams, strict=True)]

    with pytest.raises(ValueError, match="five") as kept:
        work()
    assert kept.traceback  # frames and all
    assert torch.get_num_threads() == threads


def test_one_after_the_other_none_is_ahead(threads):
    done = []
    results = ordered_map(done.append, range(4), side_by_side=False)
    next(results)
    assert done == [0]
    results.close()
    assert done == [0]


def test_within_a_worker_all_is_done_at_once(threads):
    def inner(n):
        return worker_count(), sum(ordered_map(abs, range(n)))

    expected_count = 1 if threads > 1 else threads
    assert list(ordered_map(inner, range(4))) == [
        (expected_count, n * (n - 1) // 2) for n in range(4)
    ]


def test_each_piece_has_one_thread_and_the_caller_gets_its_own_back(threads):
    assert set(ordered_map(lambda _: torch.get_num_threads(), range(8))) == {1}
    assert torch.get_num_threads() == threads
    with one_thread_each(), one_thread_each():
        assert torch.get_num_threads() == 1
        assert worker_count() == threads
    assert torch.get_num_threads() == threads


def test_sums_do_not_depend_on_the_number_of_threads(threads):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(4, 3, 90, 70, generator=generator)
    weight = torch.rand(16, 3, 5, 5, generator=generator)

    def work(n):
        with torch.inference_mode():
            return torch.nn.functional.conv2d(image[n : n + 1], weight).numpy().tobytes()

    with one_thread_each():
        alone = [work(n) for n in range(4)]
    assert list(ordered_map(work, range(4))) == alone


FORKED = """
import os, torch
from napari_fewshot.parallel import ordered_map
torch.set_num_threads(2)
assert list(ordered_map(abs, range(5))) == [0, 1, 2, 3, 4]
child = os.fork()
if child == 0:
    os._exit(0 if list(ordered_map(abs, range(5))) == [0, 1, 2, 3, 4] else 1)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_workers_of_its_own():
    command = [sys.executable, "-W", "ignore", "-c", FORKED]
    assert subprocess.run(command, timeout=120, check=False).returncode == 0
