"""From probabilities of slices to clean labels and landmarks of a volume."""
