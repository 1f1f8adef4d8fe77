"""All of SAM: prompted, personalised, refining what was localised, trained and tuned."""

from .automatic import Instance, Instances, sam_automatic
from .clicks import MaskChoice, sam_prompt
from .model import SamModel, load_sam
from .personal import PersonalSam, persam
from .predictor import Masks, Prompts, SamPredictor
from .prompts import PromptBox
from .regions import SamLabels, sam_boxes, sam_points
from .tuning import TunedSam, tune_sam

__all__ = [
    "Instance",
    "Instances",
    "MaskChoice",
    "Masks",
    "PersonalSam",
    "PromptBox",
    "Prompts",
    "SamLabels",
    "SamModel",
    "SamPredictor",
    "TunedSam",
    "load_sam",
    "persam",
    "sam_automatic",
    "sam_boxes",
    "sam_points",
    "sam_prompt",
    "tune_sam",
]
