"""Training and networks in the process of a viewer, whose OpenGL driver was there first."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.viewer

VIEWER = """
import napari, numpy as np
viewer = napari.Viewer(show=True)
viewer.add_image(np.random.default_rng(0).random((8, 48, 48)))
viewer.screenshot(canvas_only=False, flash=False)
"""
TRAINING = """
from napari_fewshot import FewShotSegmenter, Template, make_phantom
from napari_fewshot.phantoms import painted_labels, template_slices
phantom = make_phantom("torso", shape=(16, 48, 48))
painted = painted_labels(phantom, template_slices(phantom, 2))
model = FewShotSegmenter(adapter="classification", classification={"steps": 5})
print(model.fit(Template(phantom.image, painted)).predict(phantom.image).labels.shape)
"""
NETWORK = """
from napari_fewshot.backbones.timm_network import build_network
print(sum(p.numel() for p in build_network("test_vit").parameters()) > 1000)
"""


@pytest.mark.parametrize(("job", "said"), [(TRAINING, "(16, 48, 48)"), (NETWORK, "True")])
def test_the_process_survives(job, said):
    run = subprocess.run(
        [sys.executable, "-c", VIEWER + job + "viewer.close()"],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert run.returncode == 0, f"{run.returncode}\n{run.stderr[-2000:]}"
    assert run.stdout.splitlines()[-1] == said
