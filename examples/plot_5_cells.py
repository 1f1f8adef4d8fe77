"""
Cells, counted and measured
===========================

**You need** an image of cells and a few strokes. **You get** every cell with a number of its
own, also where they touch, and a table of sizes and intensities. **It takes** half a minute.
"""

import matplotlib.pyplot as plt
import numpy as np

from napari_fewshot import FewShotSegmenter, Template, measure_labels, separate_objects
from napari_fewshot.phantoms import touching_cells

size, spacing = (160, 160), (0.5, 0.5)  # micrometres
image, cells = touching_cells(0, size, spacing, cells=60, radius=4.0, overlap=0.2)
second, truth = touching_cells(1, size, spacing, cells=60, radius=4.0, overlap=0.2)

# %%
# A few strokes
# -------------
#
# Three strokes in cells (1), and some in the background (255), also close beside cells: only
# what is painted is known.

BACKGROUND = 255
strokes = np.zeros(size, np.uint8)
rows, columns = np.nonzero(cells.data == 0)
near = np.flatnonzero((columns > 20) & (columns < 60) & (rows % 12 < 2))
strokes[rows[near], columns[near]] = BACKGROUND
for number in (3, 9, 15, 21):
    row, column = (int(place.mean()) for place in np.nonzero(cells.data == number))
    inside = cells.data[row - 1 : row + 2, column - 5 : column + 6] == number
    strokes[row - 1 : row + 2, column - 5 : column + 6][inside] = 1

model = FewShotSegmenter(position={"use": False})  # a cell may be anywhere
model.fit(Template(image, strokes, kind="scribble", background=BACKGROUND))

# %%
# Label another image
# -------------------

labels = model.predict(second).labels
objects = separate_objects(second.with_data(labels), config={"min_size": "9um2"})
print(objects.data.max(), "objects,", truth.data.max(), "cells in truth")


def is_found(cell):
    """Whether an object and a cell are the same by more than half (IoU)."""
    inside = truth.data == cell
    shares = np.bincount(objects.data[inside], minlength=2)[1:]
    union = inside | (objects.data == shares.argmax() + 1)
    return shares.max() / union.sum() > 0.5


print(sum(map(is_found, range(1, truth.data.max() + 1))), "cells found")

# %%

rng = np.random.default_rng(0)
colours = np.vstack([[0, 0, 0], rng.uniform(0.3, 1, (int(objects.data.max()), 3))])
figure, axes = plt.subplots(1, 3, figsize=(11, 4), layout="constrained")
axes[0].imshow(image.data, cmap="gray")
axes[0].imshow(np.ma.masked_equal(strokes, 0), cmap="autumn", alpha=0.8, interpolation="nearest")
axes[1].imshow(second.data, cmap="gray")
axes[2].imshow(colours[objects.data])
for axis, title in zip(axes, ["strokes", "another image", "objects"], strict=True):
    axis.set(title=title, xticks=[], yticks=[])

# %%
# Measure
# -------
#
# A data frame of pandas, a row for each cell. Units come from the image.

table = measure_labels(objects, second)
table[["label", "area_um2", "centroid_y", "centroid_x", "mean_intensity"]].head()

# %%

print(table[["area_um2", "mean_intensity"]].describe().round(1))
