"""Prompting: what the Segment Anything Model makes of points, boxes and masks."""

from .embeddings import SliceEmbeddings, embedding_extractor
from .predictor import Masks, Prompts, SamPredictor

__all__ = ["Masks", "Prompts", "SamPredictor", "SliceEmbeddings", "embedding_extractor"]
