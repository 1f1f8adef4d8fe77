"""Landmarks that were learned as points: found by appearance, arrangement and pose together."""
