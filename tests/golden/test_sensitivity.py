"""The tolerances notice what changes a result: each of these settings is off by one step."""

from __future__ import annotations

from pathlib import Path

import pytest

from .compare import References, Tolerance

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def references():
    """Those of other modules."""
    return {name: References(DATA, name, renew=False) for name in ("adapters",)}


def noticed(references, module, name, found):
    return references[module].compare(
        name, Tolerance(), {"labels": found.labels, "confidence": found.confidence}
    )


def test_the_same_is_the_same(references, fitted, other):
    assert not noticed(references, "adapters", "defaults", fitted.predict(other.image))


@pytest.mark.parametrize("settings", [{"smoothing": 0.0}, {"smoothing": 0.9}], ids=str)
def test_propagation(references, fitted, other, settings):
    found = fitted.with_propagation(settings).predict(other.image)
    assert noticed(references, "adapters", "defaults", found)


@pytest.mark.parametrize("settings", [
    {"seed": 1},
    {"position": {"use": False}},
    {"position": {"weight": 0.8}},
    {"intensity": {"high": 99.0}},
    {"sampling": {"background_least": 40_000}},
    {"contrastive": {"hidden": 32, "width": 16, "steps": 39, "targets": 192, "references": 16}},
    {"contrastive": {"hidden": 32, "width": 16, "steps": 40, "targets": 192, "references": 8}},
], ids=str)  # fmt: skip
def test_learning(references, segmenter, one, other, settings):
    found = segmenter(**settings).fit(one.template()).predict(other.image)
    assert noticed(references, "adapters", "defaults", found)


def test_a_template_slice_more_or_less(references, segmenter, one, other):
    found = segmenter().fit(one.template((2, 5))).predict(other.image)
    assert noticed(references, "adapters", "defaults", found)
