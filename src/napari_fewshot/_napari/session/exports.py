"""Labels of all images, written as files beside the images or in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...io.formats import output_paths
from ...io.outputs import Outputs
from ..writers import write_labels_layer
from .jobs import Job, JobRunner
from .state import State

__all__ = ["WRITING", "ExportController"]

WRITING = "Writing labels"
"""Name of its jobs."""


class ExportController:
    """Writes results as ``NAME_labels``, in the format and on the grid of the image's file.

    ``session.exports``.
    """

    def __init__(self, state: State, runner: JobRunner) -> None:
        self._state, self._runner = state, runner

    def images(self) -> list[Any]:
        """Images that have labels to be written."""
        return [one.image for one in self._state.results.values() if one.has_labels]

    def write(self, folder: Path | None = None) -> Job:
        """Write the labels as they are now, on the worker; ``Job.result`` are the paths.

        ``folder`` None: beside each image. A file that was not written so is never replaced, and
        neither is one that was changed since. InputError if an image has no file, and no folder is
        given.
        """
        files = []
        for image in self.images():
            result = self._state.result_of(image)
            if result is None:
                continue
            source = _source_of(image)
            data, meta, _ = result.labels.as_layer_data_tuple()
            files.append((_path(image, source, folder), source, np.array(data), meta))
        if not files:
            raise InputError("labels", "be there", "none", "Label an image first.")

        def work(job: Job) -> list[Path]:
            outputs = Outputs("folder", [source for _, source, _, _ in files])
            outputs.check(path for path, *_ in files)
            for done, (path, _, data, meta) in enumerate(files):
                job.progress(done, len(files), "files")
                with outputs.writing():
                    write_labels_layer(str(path), data, meta)
            return [path for path, *_ in files]

        return self._runner.start(Job(WRITING, "save", work))


def _source_of(image: Any) -> Path | None:
    """File that an image was read from."""
    found = image.metadata.get("source") or image.source.path
    return None if found is None else Path(found)


def _path(image: Any, source: Path | None, folder: Path | None) -> Path:
    if source is None:
        if folder is None:
            raise InputError(
                f"image {image.name}",
                "come from a file, or a folder be chosen",
                "no file",
                "Choose a folder under “Labels to”.",
            )
        return folder / f"{image.name}_labels.nii.gz"
    return output_paths([source], source.parent if folder is None else folder)[0]
