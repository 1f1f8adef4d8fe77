"""Computed images: a cohort of patients with labels and landmarks, and touching cells."""

from .cells import touching_cells
from .phantom import (
    PHANTOMS,
    Phantom,
    PhantomKind,
    make_cohort,
    make_phantom,
    painted_labels,
    template_slices,
)

__all__ = [
    "PHANTOMS",
    "Phantom",
    "PhantomKind",
    "make_cohort",
    "make_phantom",
    "painted_labels",
    "template_slices",
    "touching_cells",
]
