"""The embedded sample: a cohort of computed patients with labels and landmarks."""

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
]
