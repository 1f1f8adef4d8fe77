"""Short trainings, where what labels pixels is hardly asked."""

from __future__ import annotations

from ..config import ClassificationConfig, ContrastiveConfig, SegmenterConfig
from ..landmarks.learn import labels_placed
from ..templates.training_set import TrainingSet

__all__ = ["brief", "shows_points_alone"]


def shows_points_alone(training: TrainingSet, config: SegmenterConfig) -> bool:
    """Whether 2D images show landmarks alone, all of which are placed by what templates show.

    What labels pixels is then asked of volumes alone, of which templates show nothing.
    """
    planes = all(stack.volume.ndim == 2 for stack in training.stacks)
    return planes and set(training.label_values) <= set(labels_placed(training, config))


def brief(config: SegmenterConfig) -> SegmenterConfig:
    """Settings with as few steps as an update has, where the adapter is trained in steps."""
    own = config.adapter_config
    if not isinstance(own, ClassificationConfig | ContrastiveConfig):
        return config
    return config.changed({config.adapter: {"steps": min(own.steps, own.update_steps)}})
