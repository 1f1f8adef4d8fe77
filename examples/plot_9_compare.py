"""
Compare methods on your data
============================

**You need** a folder of labelled images. **You get** scores of several methods that learned from
the same templates, and a report of one HTML file. **It takes** a minute here.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from napari_fewshot import write_image, write_labels
from napari_fewshot.cli import main
from napari_fewshot.phantoms import make_cohort

# %%
# Labelled images
# ---------------
#
# Your own lie in a folder already; any layout can be told by patterns, see :doc:`/datasets`.

work = Path(tempfile.mkdtemp())
for kind in ("images", "labels"):
    (work / kind).mkdir()
for knee in make_cohort("joint", 4, shape=(16, 64, 64)):
    name = f"knee{knee.patient}.nii.gz"
    write_image(work / "images" / name, knee.image.data, knee.image)
    write_labels(work / "labels" / name, knee.labels.data, knee.image, names=knee.labels.names)

# %%
# What is compared
# ----------------
#
# Two of the four knees are templates, the others are scored. Methods are our default and what
# pixel classification tools do: a random forest on hand-made features.

config = """
title = "Knees"
shots = [2]
seeds = [0]
baseline = "random forest"

[dataset]
root = "."
images = "images/{case}.nii.gz"
labels = "labels/{case}.nii.gz"
train = 2

[templates]
scope = "across"
choice = "cases"

[[methods]]
name = "random forest"
method = "forest"

[[methods]]
name = "default"
method = "fewshot"
"""
(work / "compare.toml").write_text(config, encoding="utf-8")

# %%
# Run
# ---
#
# The same as ``napari-fewshot benchmark compare.toml -o out``. It goes on where it was stopped.

status = main(["benchmark", str(work / "compare.toml"), "-o", str(work / "out")])
print("exit status", status)

# %%
# The report is ``out/report.html``; the numbers lie beside it as a table.

scores = pd.read_csv(work / "out" / "results.csv")
means = scores.groupby("method")["dice"].mean()
print(means.round(3))

figure, axis = plt.subplots(figsize=(5, 2.4), layout="constrained")
means.plot.barh(ax=axis, xlabel="mean Dice of two knees", ylabel="")
