"""Linear layers for many pixels against torch's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_fewshot.pointwise import linear


@pytest.mark.parametrize("shape", [(7,), (4096,), (18, 217), (4, 8, 8), (2, 16, 24), (521,)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_equals_a_linear_layer(shape, with_bias):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(*shape, 11, generator=generator)
    weight = torch.randn(5, 11, generator=generator)
    bias = torch.randn(5, generator=generator) if with_bias else None
    expected = torch.nn.functional.linear(x, weight, bias)
    with torch.inference_mode():
        found = linear(x, weight, bias)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-5)


def test_vectors_that_do_not_lie_one_after_the_other():
    x = torch.arange(11.0 * 512).view(11, 16, 32).permute(1, 2, 0) / 5000
    weight = torch.linspace(-1, 1, 55).view(5, 11)
    expected = torch.nn.functional.linear(x, weight)
    with torch.inference_mode():
        np.testing.assert_allclose(linear(x, weight).numpy(), expected.numpy(), atol=1e-5)


def test_gradients_flow_where_they_are_wanted():
    weight = torch.ones(3, 4, requires_grad=True)
    linear(torch.ones(512, 4), weight).sum().backward()
    assert weight.grad is not None
    assert (weight.grad == 512).all()
