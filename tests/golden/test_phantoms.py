"""The embedded sample: images, labels and landmarks of its patients."""

from __future__ import annotations

import numpy as np
import pytest

import napari_fewshot
from napari_fewshot import phantoms

from .compare import Tolerance


@pytest.mark.parametrize("kind", ["torso", "joint"])
def test_patients(golden, kind):
    for patient in (0, 1):
        made = phantoms.make_phantom(kind, patient, (16, 40, 40))
        name = f"{kind} {patient}"
        golden(name, labels=made.labels.data, landmarks=made.landmarks)
        image = made.image.data
        golden(name, Tolerance(number=0.005),
               image=[str(image.dtype), float(image.mean()), float(image.std()),
                      np.percentile(image, [1, 10, 50, 90, 99]).tolist()],
               place=[list(made.image.spacing), made.image.affine.tolist()],
               names=dict(made.labels.names))  # fmt: skip
    slices = phantoms.template_slices(made, 5)
    painted = phantoms.painted_labels(made, slices)
    golden(kind, slices=slices, painted=np.flatnonzero(painted.data.any(axis=(1, 2))).tolist())


def test_other_storage_is_the_same_patient(golden):
    made = phantoms.make_phantom("joint", 2, (10, 32, 36), seed=3, storage="RAS")
    golden("storage", labels=made.labels.data, landmarks=made.landmarks,
           place=[list(made.image.spacing), made.image.affine.tolist()])  # fmt: skip


def test_the_demo_on_a_small_patient(segmenter, golden):
    made, other = phantoms.make_cohort("torso", 2, (16, 48, 48))
    slices = phantoms.template_slices(made, 5)
    model = segmenter().fit(
        napari_fewshot.Template(made.image, phantoms.painted_labels(made, slices))
    )
    found = model.predict(other.image)
    # An anatomy has labels of few voxels and edges that nothing decides.
    loose = Tolerance(voxels=0.02, dice=0.9, mean=0.004, most=0.05)
    golden("demo", loose, labels=found.labels, confidence=found.confidence)


def test_public_names(golden):
    golden("names", package=sorted(napari_fewshot.__all__), io=sorted(napari_fewshot.io.__all__),
           phantoms=sorted(phantoms.__all__))  # fmt: skip
