"""DICOM: series of slices as volumes, and labels as segmentations."""
