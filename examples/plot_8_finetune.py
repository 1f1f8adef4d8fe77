"""
Fine-tune on your own scans
===========================

**You need** scans without labels, and one labelled scan to judge by. **You get** weights that
know such images better, or the word that they do not. **It takes** a minute here, half an hour
or more in earnest.
"""

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

from napari_fewshot import FewShotSegmenter, Template, finetune
from napari_fewshot.phantoms import make_cohort, painted_labels, template_slices

patients = make_cohort("joint", 5, shape=(16, 48, 48))
labelled, scans = patients[0], [patient.image for patient in patients[1:]]
slices = template_slices(labelled, 3)
probe = Template(labelled.image, painted_labels(labelled, slices), slices=slices)

# %%
# Train the network on
# --------------------
#
# A handful of steps, to see how it goes: the default is hundreds. Every few steps the probe is
# asked: an adapter learns from some of its slices and predicts the others.

output = Path(tempfile.mkdtemp()) / "own.safetensors"
found = finetune(
    "embedded",
    scans,
    probe=probe,
    config={"steps": 4, "probe_every": 2},
    output=output,
)
print(found.verdict)

# %%
# The last line is honest: where the probe is no better than at the start, the old weights are
# kept. After a handful of steps a difference is chance; :doc:`/finetune` has what was measured.

figure, axis = plt.subplots(figsize=(9, 3.4), layout="constrained")
axis.imshow(plt.imread(output.with_suffix(".png")))
axis.axis("off")

# %%
# Use the weights
# ---------------
#
# A model keeps the hash of its weights, and refuses others.

model = FewShotSegmenter(weights=output)
model.fit(probe)
print(model.predict(labelled.image).labels.shape)
