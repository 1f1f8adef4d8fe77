"""Extract forty slices, slowly enough to be killed: ``interrupted.py STORE LOG``."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tiny import ConvBackbone, random_source

from napari_fewshot.config import ExtractionConfig
from napari_fewshot.features.extract import FeatureExtractor
from napari_fewshot.features.store import FeatureStore


class SlowBackbone(ConvBackbone):
    def encode(self, images):
        time.sleep(0.2)
        return super().encode(images)


store, log = Path(sys.argv[1]), Path(sys.argv[2])
config = ExtractionConfig(min_tokens=8, batch=2, precision="float32")
extractor = FeatureExtractor(SlowBackbone(log=log), config, store=FeatureStore(store))
for _ in extractor.maps(random_source(40), range(40)):
    pass
