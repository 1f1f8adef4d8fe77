"""Jobs on labels layers: touching objects separated, labels and objects measured."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ...arrays import is_lazy
from ...config import ObjectsConfig
from ...errors import InputError
from ...geometry import Frame
from ...types import Volume
from ..grid import grid_of
from ..layers import geometry_of, image_volume, label_features, label_names, level_like, shape_of
from .jobs import Callbacks, Job, JobRunner
from .pairs import PairController
from .slicing import Key
from .state import State
from .teaching import Provenance
from .templates import TemplateEntry
from .view import View

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SessionObjects"]

_LOOK = 5
"""Slices of a template that are looked at."""


class SessionObjects:
    """Objects of labels layers, whichever made them: ``session.objects``.

    Layers are given themselves or by name. The values that labels have now are taken.
    """

    def __init__(self, state: State, runner: JobRunner, view: View, pairs: PairController) -> None:
        self._state, self._runner, self._view, self._pairs = state, runner, view, pairs

    def proposed_min_size(self, labels: Any) -> int:
        """Smallest size of objects, in voxels, that painted slices speak for; 0: they do not.

        Those of a template of the same image count, at most five.
        """
        from ...objects.smallest import proposed_min_size

        images = self._state.images_of(self._view.layer(labels, ("labels",), "labels"))
        for image in images:
            for entry in self._state.entries_of(image):
                if entry.kind == "dense":
                    planes = [entry.values(key) for key in _some_slices(entry)]
                    axis = entry.slicing.axis if entry.slicing.spatial == 3 else None
                    spacing = np.abs(entry.labels.scale)[-entry.slicing.spatial :]
                    return proposed_min_size(planes, spacing.tolist(), axis)
        return 0

    def separate(
        self, labels: Any, image: Any = None, *, label: int | None = None, **settings: Any
    ) -> Job:
        """Separate touching objects, into a new labels layer; ``Job.result`` is its volume.

        Parameters
        ----------
        labels : napari.layers.Labels or str
            Of a time series, the place in view is taken.
        image : napari.layers.Image or str, optional
            Objects are cut sooner where it is dark.
        label : int, optional
            Objects of this label only.
        **settings
            Fields of :class:`~napari_fewshot.config.ObjectsConfig`: ``by``, ``neck``, ``min_size``
            ... Slices are those along the axis that the viewer slices.
        """
        config = ObjectsConfig.of(settings, "settings")
        labels, image = self._layers(labels, image)
        volume, beside = self._volumes(labels, image)
        lead, viewer = self._view.lead(labels), self._view.viewer
        axis = self._view.sliced_axis(labels)

        def work(job: Job) -> Volume:
            from ...objects import separate_objects

            return separate_objects(
                volume,
                image=beside,
                label=label,
                axis=axis or 0,
                config=config,
                progress=job.progress,
            )

        def done(found: Volume) -> None:
            data = np.zeros(shape_of(labels), found.data.dtype)
            data[lead] = found.data
            options = {"name": f"{labels.name} objects", **geometry_of(labels)}
            if found.names:
                options["features"] = label_features(found.names)
            viewer.add_labels(data, **options)

        name = f"Separating the objects of {labels.name}"
        return self._runner.start(Job(name, "measure", work, Callbacks(done=done), layers=[labels]))

    def measure(
        self, labels: Any, image: Any = None, *, objects: bool = False, unit: str = "auto"
    ) -> Job:
        """Measure labels or objects; ``Job.result`` is the table (a DataFrame).

        Parameters
        ----------
        labels, image
            As for :meth:`separate`; of the image come intensities.
        objects, unit : optional
            As for :func:`napari_fewshot.measure_labels`, whose columns the table has. Voxels count
            in the order of the file that the labels, or their image, were opened from.
        """
        labels, image = self._layers(labels, image)
        own, other = self._volumes(labels, image)
        volume = _in_file_order(own, labels)
        beside = None if other is None else _in_file_order(other, labels)

        def work(job: Job) -> pd.DataFrame:
            from ...objects import measure_labels

            return measure_labels(volume, beside, objects=objects, unit=unit, progress=job.progress)

        return self._runner.start(Job(f"Measuring {labels.name}", "measure", work, layers=[labels]))

    def count_instances(self, entry: TemplateEntry) -> int:
        """Labels of a template if they look like instances (many, each once), else 0.

        At most five slices are looked at. Each label would be learned as a class.
        """
        from ...objects.instances import are_instances

        if entry.kind != "dense" or label_names(entry.labels.features):
            return 0
        some = _some_slices(entry)
        planes = [np.asarray(entry.slicing.plane(entry.labels.data, key)) for key in some]
        return len(np.unique(planes)) - 1 if planes and are_instances(planes) else 0

    def learn_as_one_class(self, entry: TemplateEntry, name: str = "object") -> TemplateEntry:
        """Put a template whose labels are all one class in the place of one of instances.

        Its labels are a new layer; the layer of the instances stays, hidden.
        """
        labels = entry.labels
        merged = (np.asarray(labels.data) > 0).astype(np.uint8)
        options = {"name": f"{labels.name} as one class", **geometry_of(labels)}
        layer = self._view.viewer.add_labels(merged, features=label_features({1: name}), **options)
        known = entry.provenance
        if known is not None:  # what is predicted stays no paint, what was reviewed is known
            strokes = {key: np.minimum(plane, 1) for key, plane in known.stroke_planes().items()}
            Provenance(layer, known.slicing).from_json(known.to_json(), strokes)
        labels.visible = False
        self._pairs.remove(entry)
        return self._pairs.add(entry.image, layer, entry.kind, entry.slicing.axis)

    def _layers(self, labels: Any, image: Any) -> tuple[Any, Any]:
        view = self._view
        beside = None if image is None else view.layer(image, ("image",), "image")
        return view.layer(labels, ("labels",), "labels"), beside

    def _volumes(self, labels: Any, image: Any) -> tuple[Volume, Volume | None]:
        """Labels as they are now, since a person may paint meanwhile, and the image beside."""
        found = image_volume(labels, self._view.lead(labels))
        data = found.data if is_lazy(found.data) else np.array(found.data)
        volume = found.with_data(data, names=label_names(labels.features))
        if image is None:
            return volume, None
        level = level_like(image, shape_of(labels)) if image.multiscale else 0
        beside = image_volume(image, self._view.lead(image), level)
        if beside.shape != volume.shape:
            raise InputError(
                "image",
                f"have the shape {volume.shape} of {labels.name}",
                f"{image.name} of shape {beside.shape}",
                "Choose the image that the labels belong to, or none.",
            )
        # Layers of one shape: labels are made on their image, wherever one was moved since.
        return volume, Volume(beside.data, volume.spacing, volume.affine, beside.has_channels)


def _some_slices(entry: TemplateEntry) -> list[Key]:
    keys = entry.slices()
    return keys[:: max(1, len(keys) // _LOOK)][:_LOOK]


def _in_file_order(volume: Volume, labels: Any) -> Volume:
    """A volume in the order of a layer, in that of the file where the layer has one."""
    if labels.metadata.get("affine") is None or volume.ndim != 3:
        return volume
    _, meta, _ = labels.as_layer_data_tuple()
    grid = grid_of(meta, volume.shape, volume.ndim)
    data = Frame.of(grid.affine, grid.ndim).from_canonical(volume.data, volume.has_channels)
    return Volume(data, grid.spacing, grid.affine, volume.has_channels, volume.names)
