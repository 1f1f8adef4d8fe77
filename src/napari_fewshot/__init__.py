"""Few-shot segmentation of biomedical images: paint a few slices, label the rest."""
