"""
First steps
===========

**You need** an image and some painted slices. **You get** all slices labelled, with a
confidence for every voxel, and a model file. **It takes** half a minute.

The volume is computed: a torso as in a CT, with nine organs. Five of its slices are "painted".
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

from napari_fewshot import FewShotSegmenter, Template, evaluate_labels, make_phantom
from napari_fewshot.phantoms import painted_labels, template_slices

patient = make_phantom("torso", shape=(32, 64, 64))
slices = template_slices(patient, 5)
painted = painted_labels(patient, slices)  # all other slices are 0
print("painted:", slices, "of", len(patient.image.data), "slices")

# %%
# Learn and label
# ---------------
#
# On a painted slice, what has no label is background; all other slices are unknown. From files
# it would be ``Template(read_volume("image.nii.gz"), read_labels("painted.nii.gz"))``; plain
# arrays do as well.

model = FewShotSegmenter()
model.fit(Template(patient.image, painted))
found = model.predict(patient.image)

print(found.labels.shape, found.labels.dtype, found.names)
print(found.confidence.shape, found.confidence.dtype)

# %%
# See and score
# -------------
#
# A slice that was not painted, half-way between two that were.

k = (slices[1] + slices[2]) // 2
figure, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
axes[0].imshow(patient.image.data[k], cmap="gray", vmin=-160, vmax=240)
axes[1].imshow(patient.labels.data[k], cmap="tab10", vmin=0, vmax=9)
axes[2].imshow(found.labels[k], cmap="tab10", vmin=0, vmax=9)
axes[3].imshow(found.confidence[k], cmap="viridis", vmin=0, vmax=1)
for axis, title in zip(axes, ["image", "truth", "labels", "confidence"], strict=True):
    axis.set(title=title, xticks=[], yticks=[])

# %%
# The painted slices are left out of the score.

scores = evaluate_labels(found.labels, patient.labels, exclude=(0, slices))
print(scores.format_table())

# %%
# Without a truth, ``model.held_out_score()`` leaves painted slices out in turn and labels them
# from the others. Such a score tends to be optimistic, since the slices of one volume are
# alike.

# %%
# Keep the model
# --------------
#
# The file labels other images, also from the command line and in napari.

path = Path(tempfile.mkdtemp()) / "torso.fewshot"
model.save(path)
again = FewShotSegmenter.load(path)
print((again.predict(patient.image).labels == found.labels).mean())
