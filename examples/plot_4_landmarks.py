"""
Landmarks
=========

**You need** the same points, placed in three images. **You get** them in other images, each
with a score. **It takes** half a minute.
"""

import matplotlib.pyplot as plt

from napari_fewshot import FewShotSegmenter, Template, evaluate_landmarks
from napari_fewshot.phantoms import make_cohort

patients = make_cohort("joint", 4, shape=(20, 48, 48))
learned, other = patients[:3], patients[3]
for point in learned[0].landmarks:
    print(point.name, [round(value, 1) for value in point.position])

# %%
# Learn from points
# -----------------
#
# Positions count in voxels of the file order. Files are read by ``read_points("a.csv",
# like=image)``.

model = FewShotSegmenter()
model.fit([Template(patient.image, points=patient.landmarks) for patient in learned])
found = model.predict(other.image).landmarks

# %%
# How far off
# -----------
#
# With three templates or more, the score is the probability that the point lies within a
# tolerance, which is 5 % of the longest side of the image unless you say another.

scores = evaluate_landmarks(found, other.landmarks, other.image.spacing)
print(scores.format_table())
for point in found:
    print(f"{point.name}: score {point.score:.2f}")

# %%

point = max(found, key=lambda one: one.score)
truth = next(one for one in other.landmarks if one.name == point.name)
k = round(point.position[0])
figure, axis = plt.subplots(figsize=(5, 4.6), layout="constrained")
axis.imshow(other.image.data[k], cmap="gray")
axis.plot(*truth.position[:0:-1], "o", mfc="none", mec="white", ms=14, label="truth")
axis.plot(*point.position[:0:-1], "+", color="tab:orange", ms=14, mew=2, label="found")
axis.set(title=f"{point.name}, slice {k}", xticks=[], yticks=[])
axis.legend(loc="lower right")
