"""
First steps
===========

**You need** an image and some painted slices. **You get** all slices labelled, with a
confidence for every voxel, and a model file. **It takes** ten seconds.

The volume is computed: a torso as in a CT, with nine organs. Three of its slices are "painted".
"""

import matplotlib.pyplot as plt

from napari_fewshot import FewShotSegmenter, Template, evaluate_labels, make_phantom
from napari_fewshot.phantoms import painted_labels, template_slices

patient = make_phantom("torso", shape=(24, 80, 80))
slices = template_slices(patient, 3)
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

k = (slices[0] + slices[1]) // 2
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
# Without a truth, painted slices are left out in turn and labelled from the others. Such a
# score tends to be optimistic, since the slices of one volume are alike.

held_out = model.held_out_score()
print({found.names[label]: round(dice, 2) for label, dice in held_out.dice.items()})

# %%
# Keep the model
# --------------
#
# The file labels other images, also from the command line and in napari.

model.save("torso.fewshot")
again = FewShotSegmenter.load("torso.fewshot")
print((again.predict(patient.image).labels == found.labels).mean())
