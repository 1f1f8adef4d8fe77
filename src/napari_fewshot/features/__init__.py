"""Features: intensities, planes, resampling, extraction and the store."""
