"""Scores of labels, instances and landmarks: arrays in, frozen records out."""
