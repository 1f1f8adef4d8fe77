"""
A folder, and a cluster
=======================

**You need** a model and a folder of images, for the last part the extra ``distributed`` too.
**You get** a label map for each, and a table with the doubtful ones first. **It takes** half a
minute.
"""

import tempfile
from pathlib import Path

import pandas as pd

from napari_fewshot import FewShotSegmenter, PredictOptions, Template, predict_many, write_image
from napari_fewshot.jobs import TABLE
from napari_fewshot.phantoms import make_cohort, painted_labels, template_slices

work = Path(tempfile.mkdtemp())
first, *others = make_cohort("torso", 4, shape=(16, 64, 64))

# %%
# A model, and images to label
# ----------------------------
#
# One of them is cut off in the middle, as files of a bad disk are.

model = FewShotSegmenter().fit(
    Template(first.image, painted_labels(first, template_slices(first, 3)))
)
model.save(work / "model.fewshot")

images = [work / "patients" / f"p{patient.patient}.nii.gz" for patient in others]
images[0].parent.mkdir()
for path, patient in zip(images, others, strict=True):
    write_image(path, patient.image.data, patient.image)
images[-1].write_bytes(images[-1].read_bytes()[:500])

# %%
# Label the folder
# ----------------
#
# Each image is labelled on its own grid. One that fails is told, and the others go on. The same
# call again goes on where it was stopped.

results = predict_many(
    work / "model.fewshot", images, work / "results", PredictOptions(confidence=True)
)
for result in results:
    print(result.image.name, result.status, result.error.replace(str(work), "…"))

# %%
# The table beside the results opens in napari as a review list.

pd.read_csv(work / "results" / TABLE).iloc[:, :5]

# %%
# On a cluster
# ------------
#
# The same call takes the client of a dask cluster, whose workers see the files by the same
# paths. Here they are two threads of this process; of SLURM they would be jobs, see
# :doc:`/tasks/cluster`. The results are the same, to the byte.

from distributed import Client  # pip install "napari-fewshot[distributed]"

with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None) as client:
    again = predict_many(work / "model.fewshot", images[:-1], work / "on_cluster", client=client)
for result in again:
    name = f"{result.image.name.removesuffix('.nii.gz')}_labels.nii.gz"
    same = (work / "results" / name).read_bytes() == (work / "on_cluster" / name).read_bytes()
    print(name, "is the same" if same else "differs")
