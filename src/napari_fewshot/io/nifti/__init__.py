"""NIfTI: images with their header, and what is checked of it."""
