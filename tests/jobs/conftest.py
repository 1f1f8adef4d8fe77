"""A small model, and images in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_fewshot import FewShotSegmenter, Template, make_phantom, write_image

SHAPE = (16, 48, 48)


@pytest.fixture(scope="session")
def joint(tmp_path_factory):
    """A model file that learned three slices of the first of four images, and these."""
    folder = tmp_path_factory.mktemp("joint")
    images = []
    for number in range(4):
        made = make_phantom("joint", number, SHAPE)
        images.append(folder / "in" / f"p{number}.nii.gz")
        write_image(images[-1], made.image.data, made.image)
        if number == 0:
            painted = np.zeros_like(made.labels.data)
            painted[[4, 8, 11]] = made.labels.data[[4, 8, 11]]
            settings = {"contrastive": {"steps": 60}, "propagation": {"cleanup": {"min_size": 5}}}
            model = FewShotSegmenter(device="cpu", **settings)
            model.fit(Template(made.image, painted))
            model.save(folder / "joint.fewshot")
    return folder / "joint.fewshot", images


def written(folder: Path) -> dict[str, bytes]:
    """Content of all results but the table, which has times."""
    return {
        path.name: path.read_bytes()
        for path in folder.iterdir()
        if not path.name.startswith((".", "napari-fewshot-results"))
    }
