"""What is asked of a run over many images: with which model, how, and what is written where.

All of it is small and can be sent to another process.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .. import __version__
from ..download import file_sha256
from ..errors import InputError, SchedulerError
from ..features.store import FeatureStore
from ..io.dicom.codes import SegmentCode
from ..io.formats import absolute
from ..io.image_jobs import FrameChoice
from ..predict.refiners import Refiner
from ..segmenter import FUSED, FewShotSegmenter
from ..slices.region import Region, checked_region

__all__ = ["LoadedModel", "ModelSource", "PredictOptions"]


@dataclass(frozen=True)
class PredictOptions:
    """How images are labelled; names and meaning are those of the command line.

    Parameters
    ----------
    axis : int or str, optional
        As for :meth:`FewShotSegmenter.predict`.
    frame : int or "all", optional
        Time point of files that hold several.
    format : str, optional
        Of label maps and confidence, as ``--format``; None: that of each image.
    refine : str, optional
        Method of the refinement; None: that of the model.
    confidence, landmarks : bool
        Whether to write them too.
    region : sequence of pairs of int, optional
        The part of each image to label, as for :meth:`FewShotSegmenter.predict`.
    codes : mapping of str to SegmentCode, optional
        What labels stand for, by value or name, for the format ``dicom-seg``; see
        :func:`~napari_fewshot.io.dicom.codes.read_codes`.
    block_voxels : int
        On a cluster, larger volumes are shared out in runs of slices of about this size.
    """

    axis: int | str | None = None
    frame: FrameChoice = None
    format: str | None = None
    refine: str | None = None
    confidence: bool = False
    landmarks: bool = False
    region: Region | None = None
    codes: Mapping[str, SegmentCode] | None = None
    block_voxels: int = 2**25

    def __post_init__(self) -> None:
        if self.region is not None:
            region = checked_region(self.region, fused=self.axis == FUSED)
            object.__setattr__(self, "region", region)

    def settings(self) -> dict[str, Any]:
        """All that the labels depend on, but for the time points, which each image has."""
        names = ("axis", "refine", "format", "region")
        settings = {name: getattr(self, name) for name in names}
        if self.codes is not None:
            settings["codes"] = {key: asdict(code) for key, code in self.codes.items()}
        return settings


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model, and what refines its predictions."""

    model: FewShotSegmenter
    refiner: Refiner | None


@dataclass(frozen=True)
class ModelSource:
    """What a process needs to load a model: files and settings, not the model itself.

    Parameters
    ----------
    path : Path
        Model file.
    digest : str
        SHA-256 of the model file, so that every process has the same.
    weights, sam_weights : Path, optional
        Local checkpoints of the backbone, and of the SAM that refines.
    device : str
        As for :class:`FewShotSegmenter`; ``auto`` is resolved where the model is loaded.
    store : Path, optional
        Root of the feature store; None: no store.
    propagation : str
        Changed settings of the propagation, as JSON.
    channels : tuple of int, optional
        Channels to read in place of those of the templates.
    version : str
        Of this package.
    """

    path: Path
    digest: str
    weights: Path | None = None
    sam_weights: Path | None = None
    device: str = "auto"
    store: Path | None = None
    propagation: str = "{}"
    channels: tuple[int, ...] | None = None
    version: str = __version__

    @classmethod
    def of(
        cls,
        path: Path,
        *,
        weights: Path | None = None,
        sam_weights: Path | None = None,
        device: str = "auto",
        store: FeatureStore | None = None,
        propagation: dict[str, Any] | None = None,
        channels: Sequence[int] | None = None,
    ) -> ModelSource:
        """Describe a model file.

        ``store`` is where features are kept; the rest as for :meth:`FewShotSegmenter.load`.
        :class:`InputError` if there is no such file.
        """
        files = {"model": path, "weights": weights, "sam_weights": sam_weights}
        for name, file in files.items():
            if file is not None and not file.is_file():
                raise InputError(name, "be an existing file", file)
        return cls(
            path=absolute(path),
            digest=file_sha256(path),
            weights=None if weights is None else absolute(weights),
            sam_weights=None if sam_weights is None else absolute(sam_weights),
            device=device,
            store=None if store is None else absolute(store.root),
            propagation=json.dumps(propagation or {}, sort_keys=True),
            channels=None if channels is None else tuple(channels),
        )

    @property
    def files(self) -> list[Path]:
        """Files that are read."""
        return [path for path in (self.path, self.weights, self.sam_weights) if path is not None]

    def segmenter(self) -> FewShotSegmenter:
        """Read the model file; its backbone is loaded on first use."""
        return FewShotSegmenter.load(
            self.path,
            weights=self.weights,
            device=self.device,
            store=self.store,
            propagation=json.loads(self.propagation),
            channels=self.channels,
        )

    def load(self, options: PredictOptions) -> LoadedModel:
        """Load the model, and what refines its predictions.

        Raises
        ------
        SchedulerError
            If the file is another one by now.
        """
        model = self.segmenter()
        if file_sha256(self.path) != self.digest:
            raise SchedulerError(
                f"model must stay as it is while it is used; got {self.path}, which has changed. "
                "Start again."
            )
        return LoadedModel(model, model.load_refiner(options.refine, self.sam_weights))

    def key(self, options: PredictOptions) -> str:
        """Digest of all that results depend on, but for the image.

        Not of the device, so that a run can go on elsewhere. The backbone's weights are those
        that the model file names.
        """
        sam = None if self.sam_weights is None else file_sha256(self.sam_weights)
        content = {
            **options.settings(),
            "model": self.digest,
            "channels": self.channels,
            "propagation": json.loads(self.propagation),
            "sam": sam,
            "version": self.version,
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
