"""
Correct and improve
===================

**You need** a first result. **You get** a better one from a few corrected slices, chosen so
that each helps most. **It takes** half a minute.

The truth of a computed knee stands for the person with the brush.
"""

import matplotlib.pyplot as plt
import numpy as np

from napari_fewshot import FewShotSegmenter, Template, evaluate_labels, make_phantom
from napari_fewshot.phantoms import painted_labels, template_slices
from napari_fewshot.predict.suggestion import SliceScore, suggest_slice

knee = make_phantom("joint", shape=(24, 64, 64))
known = list(template_slices(knee, 2))

# %%
# The first result
# ----------------
#
# :meth:`~napari_fewshot.FewShotSegmenter.slice_predictor` labels one slice at a time, and says
# of each how unsure it is. The first, and each later result is scored on all slices that nobody
# has painted by the end, so that the numbers can be compared.


def predict(model):
    """Labels of all slices, and what is known of each slice."""
    predictor = model.slice_predictor(knee.image, landmarks=False)
    slices = list(predictor.run())
    scores = [SliceScore(one.index, one.uncertainty, one.descriptor) for one in slices]
    return predictor.finish().labels, scores


def template():
    """All that is painted so far."""
    return Template(knee.image, painted_labels(knee, known), slices=known)


model = FewShotSegmenter().fit(template())
labels, slice_scores = predict(model)
results = [labels]

# %%
# Paint where it helps most, and update
# -------------------------------------
#
# The slice to paint next is one that the model is not sure of and that is like many others that
# are unlike what was painted. An update starts from what was learned, and takes a fraction of
# the time.

for _ in range(3):
    chosen = suggest_slice(slice_scores, known)
    print("paint slice", chosen)
    known.append(chosen)
    model = model.updated(template())
    labels, slice_scores = predict(model)
    results.append(labels)


def dice(labels):
    """Mean Dice over labels, on slices that nobody painted."""
    scores = evaluate_labels(labels, knee.labels, exclude=(0, known))
    return scores.mean.dice


curve = [dice(one) for one in results]
print([round(value, 3) for value in curve])

# %%
# What it brought
# ---------------

k = int(np.argmax([(results[0][k] != results[-1][k]).sum() for k in range(len(labels))]))
figure, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
axes[0].plot(range(2, 2 + len(curve)), curve, marker="o")
axes[0].set(xlabel="painted slices", ylabel="mean Dice", title="other slices")
for axis, shown, title in (
    (axes[1], knee.labels.data[k], "truth"),
    (axes[2], results[0][k], "from two slices"),
    (axes[3], results[-1][k], "after three corrections"),
):
    axis.imshow(shown, cmap="tab10", vmin=0, vmax=9, interpolation="nearest")
    axis.set(title=title, xticks=[], yticks=[])

# %%
# In napari it is one key for each step: N goes to the slice, K says that it is complete, U
# updates. See :doc:`/tasks/correct-and-improve`.
