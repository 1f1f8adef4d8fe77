"""Few-shot segmentation of biomedical images: paint a few slices, label the rest.

Names are imported on first use, so that ``import napari_fewshot`` is instant.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import SegmenterConfig
    from .errors import (
        Cancelled,
        FewShotError,
        InputError,
        ModelFileError,
        NotFittedError,
        UnknownNameError,
        UnreadableFileError,
        WeightsError,
    )
    from .export import Exported, export_model
    from .features.cache import FeatureCache
    from .features.store import FeatureStore
    from .finetuning import Finetuned, finetune
    from .io import read_labels, read_points, read_volume, write_image, write_labels, write_points
    from .jobs import ModelSource, PredictOptions, predict_many
    from .metrics.contingency import match_instances
    from .metrics.labels import evaluate_labels
    from .metrics.landmarks import evaluate_landmarks
    from .objects import measure_labels, separate_objects
    from .phantoms import make_phantom
    from .predict.refine import refine_labels
    from .predict.refiners import get_refiner
    from .sam import (
        PersonalSam,
        PromptBox,
        SamLabels,
        load_sam,
        persam,
        sam_automatic,
        sam_boxes,
        sam_points,
        sam_prompt,
        tune_sam,
    )
    from .segmenter import FewShotSegmenter, HeldOutScore, Prediction
    from .templates import Template
    from .types import Candidate, FeatureMap, Landmark, Volume

__version__ = "0.1.0"

# Read when torch is imported. On a busy machine (a viewer draws, other programs run) its threads
# wait for each other in a loop that takes the processor from those that they wait for: a
# prediction took four times as long. So they sleep while they wait.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_HOMES = {
    "config": ("SegmenterConfig",),
    "errors": (
        "Cancelled",
        "FewShotError",
        "InputError",
        "ModelFileError",
        "NotFittedError",
        "UnknownNameError",
        "UnreadableFileError",
        "WeightsError",
    ),
    "metrics.contingency": ("match_instances",),
    "metrics.landmarks": ("evaluate_landmarks",),
    "metrics.labels": ("evaluate_labels",),
    "export": ("Exported", "export_model"),
    "features.cache": ("FeatureCache",),
    "features.store": ("FeatureStore",),
    "finetuning": ("Finetuned", "finetune"),
    "io": (
        "read_labels",
        "read_points",
        "read_volume",
        "write_image",
        "write_labels",
        "write_points",
    ),
    "jobs": ("ModelSource", "PredictOptions", "predict_many"),
    "objects": ("measure_labels", "separate_objects"),
    "phantoms": ("make_phantom",),
    "sam": (
        "PersonalSam",
        "PromptBox",
        "SamLabels",
        "load_sam",
        "persam",
        "sam_automatic",
        "sam_boxes",
        "sam_points",
        "sam_prompt",
        "tune_sam",
    ),
    "predict.refine": ("refine_labels",),
    "predict.refiners": ("get_refiner",),
    "templates": ("Template",),
    "segmenter": ("FewShotSegmenter", "HeldOutScore", "Prediction"),
    "types": ("Candidate", "FeatureMap", "Landmark", "Volume"),
    "_napari.session": ("viewer_session",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Cancelled",
    "Candidate",
    "Exported",
    "FeatureCache",
    "FeatureMap",
    "FeatureStore",
    "FewShotError",
    "FewShotSegmenter",
    "Finetuned",
    "HeldOutScore",
    "InputError",
    "Landmark",
    "ModelFileError",
    "ModelSource",
    "NotFittedError",
    "PersonalSam",
    "PredictOptions",
    "Prediction",
    "PromptBox",
    "SamLabels",
    "SegmenterConfig",
    "Template",
    "UnknownNameError",
    "UnreadableFileError",
    "Volume",
    "WeightsError",
    "__version__",
    "evaluate_labels",
    "evaluate_landmarks",
    "export_model",
    "finetune",
    "get_refiner",
    "load_sam",
    "make_phantom",
    "match_instances",
    "measure_labels",
    "persam",
    "predict_many",
    "read_labels",
    "read_points",
    "read_volume",
    "refine_labels",
    "sam_automatic",
    "sam_boxes",
    "sam_points",
    "sam_prompt",
    "separate_objects",
    "tune_sam",
    "viewer_session",
    "write_image",
    "write_labels",
    "write_points",
]


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
