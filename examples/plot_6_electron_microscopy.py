"""
Electron microscopy
===================

**You need** a stack of sections, with two of them painted. **You get** membranes and organelles
in the others. **It takes** half a minute.

The sections are computed: cells that move from section to section, with dark membranes and
mitochondria.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy import ndimage

from napari_fewshot import FewShotSegmenter, Template, Volume, evaluate_labels

NAMES = {1: "membrane", 2: "mitochondria"}


def sections(count=10, side=96, cells=30, seed=0):
    """A stack as of serial sections, and its labels."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((side, side))
    centres = rng.uniform(0, side, (cells, 2))
    drift = rng.normal(0, 1.2, (cells, 2))
    darkness = rng.uniform(0.55, 0.75, cells)
    image, labels = np.empty((count, side, side)), np.zeros((count, side, side), np.uint8)
    for k in range(count):
        places = centres + k * drift
        far = np.hypot(rows[..., None] - places[:, 0], columns[..., None] - places[:, 1])
        order = np.sort(far, axis=2)
        inside = darkness[far.argmin(axis=2)]
        membrane = order[..., 1] - order[..., 0] < 2.5
        organelle = (order[..., 0] < 4.5) & (far.argmin(axis=2) % 3 == 0) & ~membrane
        labels[k][organelle], labels[k][membrane] = 2, 1
        stripes = 0.06 * np.sin(rows * 1.6 + columns)
        image[k] = np.select([membrane, organelle], [0.2, 0.36 + stripes], inside)
    image = ndimage.gaussian_filter(image, (0, 0.7, 0.7)) + rng.normal(0, 0.06, image.shape)
    return (np.clip(image, 0, 1) * 255).astype(np.uint8), labels


stack, truth = sections()
spacing = (5e-5, 8e-6, 8e-6)  # mm: sections of 50 nm, pixels of 8 nm
image = Volume(stack, spacing)

# %%
# Whole sections are painted, or strokes
# --------------------------------------
#
# Two whole sections here. On a whole section, what is not painted is background.

painted = (2, 7)
labels = np.zeros_like(truth)
labels[list(painted)] = truth[list(painted)]

model = FewShotSegmenter(position={"use": False})
model.fit(Template(image, Volume(labels, spacing, names=NAMES)))
found = model.predict(image)
score = {"names": NAMES, "exclude": (0, painted)}
print(evaluate_labels(found.labels, truth, spacing, **score).format_table())

# %%
# What it learned from
# --------------------
#
# Beside the embedded network, an adapter learns from hand-made features, which show fine
# texture, and labels are carried from section to section along optical flow. How much each
# counts is chosen on sections that are left out, where at least three are painted. With
# ``experts={"carried": False}`` they can be switched off, to see what they are worth.

plain = FewShotSegmenter(position={"use": False}, experts={"carried": False, "hand_made": False})
plain.fit(Template(image, Volume(labels, spacing, names=NAMES)))
alone = plain.predict(image).labels
print(evaluate_labels(alone, truth, spacing, **score).format_table())

# %%

k = 4
figure, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
axes[0].imshow(stack[k], cmap="gray")
for axis, shown in zip(axes[1:], (truth, alone, found.labels), strict=True):
    axis.imshow(shown[k], cmap="viridis", vmin=0, vmax=2, interpolation="nearest")
titles = ["section 4", "truth", "embedded network alone", "with all experts"]
for axis, title in zip(axes, titles, strict=True):
    axis.set(title=title, xticks=[], yticks=[])

# %%
# Real micrographs are harder than these: see :doc:`/tasks/electron-microscopy` for what helps
# there.
