"""Fine-tuning: a backbone learns from images without labels."""

from .result import Finetuned
from .run import finetune
from .scans import ScanSummary
from .weights_file import Story

__all__ = ["Finetuned", "ScanSummary", "Story", "finetune"]
