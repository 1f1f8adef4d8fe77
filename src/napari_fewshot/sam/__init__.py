"""Prompting: what the Segment Anything Model makes of points, boxes and masks."""

from .automatic import sam_automatic
from .boxes import sam_boxes, sam_points
from .embeddings import SliceEmbeddings, embedding_extractor
from .given import PromptBox
from .instances import Instance, Instances
from .loaded import SamLabels, SamModel, load_sam
from .personalised import PersonalSam, persam
from .predictor import Masks, Prompts, SamPredictor

__all__ = [
    "Instance",
    "Instances",
    "Masks",
    "PersonalSam",
    "PromptBox",
    "Prompts",
    "SamLabels",
    "SamModel",
    "SamPredictor",
    "SliceEmbeddings",
    "embedding_extractor",
    "load_sam",
    "persam",
    "sam_automatic",
    "sam_boxes",
    "sam_points",
]
