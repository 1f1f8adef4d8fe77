"""Volumes as slices along one axis, on a working grid, scaled to 0..1."""
