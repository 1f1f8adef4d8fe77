"""TIFF: pages, the images that they make up, and how pixels are packed."""
