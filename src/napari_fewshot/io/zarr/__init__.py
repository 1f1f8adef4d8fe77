"""Zarr arrays, and OME-Zarr: levels, axes, units and label groups."""
