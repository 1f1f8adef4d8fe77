"""What is installed, against what the package asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, entry_points, requires, version

from packaging.requirements import Requirement

__all__ = [
    "EXTRAS",
    "Library",
    "installed_extras",
    "installed_libraries",
    "installed_qt",
    "plugin_is_registered",
]

PACKAGE = "napari-fewshot"

EXTRAS = {
    "baselines": "U-Net and random forest, to compare with in benchmarks",
    "benchmark": "plots of benchmark reports and of compare-refinement",
    "dicom-seg": "labels of DICOM series as DICOM segmentations, written and read",
    "distributed": "many volumes side by side, on a cluster or on all cores",
    "export": "models for other programs, as ONNX and as packages of bioimage.io",
    "finetune": "fine-tuning of vision transformers on images without labels",
    "flow": "quicker motion between slices, for carried labels",
    "formats": "NRRD, MetaImage and DICOM series",
    "hdf5": "images and labels in HDF5",
    "nnunet": "nnU-Net, to compare with in benchmarks; in an environment of its own",
    "ome-zarr": "OME-Zarr, read and written",
    "registration": "labels of whole volumes for other volumes, by registration",
}
"""What the extras are for that bring libraries of their own, and no Qt."""

BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")


@dataclass(frozen=True)
class Library:
    """A library that is asked for.

    Parameters
    ----------
    name : str
    wanted : str
        Versions that will do, as in ``pip install``; empty for all.
    version : str or None
        The one that is installed; None where there is none.
    fits : bool
        Whether it is installed in a version that will do.
    """

    name: str
    wanted: str
    version: str | None
    fits: bool

    @classmethod
    def of(cls, requirement: Requirement) -> Library:
        """Look up what is asked for."""
        wanted = str(requirement.specifier)
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            return cls(requirement.name, wanted, None, fits=False)
        fits = requirement.specifier.contains(found, prereleases=True)
        return cls(requirement.name, wanted, found, fits)


def installed_libraries() -> list[Library]:
    """Those that the package needs always, by name; none where it is not installed itself."""
    found = [Library.of(requirement) for requirement in _required("")]
    return sorted(found, key=lambda one: one.name.lower())


def installed_extras() -> dict[str, list[Library]]:
    """Libraries of each of the ``EXTRAS``."""
    needed = {one.name for one in _required("")}
    return {
        name: [Library.of(one) for one in _required(name) if one.name not in needed]
        for name in EXTRAS
    }


def installed_qt() -> dict[str, str]:
    """Versions of the bindings of Qt that are here, by name; the viewer needs one."""
    found = {}
    for name in BINDINGS:
        library = Library.of(Requirement(name))
        if library.version is not None:
            found[name] = library.version
    return found


def plugin_is_registered() -> bool:
    """Whether napari finds the plugin: not where the package is only on the path of Python."""
    return any(one.name == PACKAGE for one in entry_points(group="napari.manifest"))


def _required(extra: str) -> Iterator[Requirement]:
    """What the package asks for in this environment, with an extra or (``""``) without."""
    try:
        lines = requires(PACKAGE) or []
    except PackageNotFoundError:
        return
    for line in lines:
        requirement = Requirement(line)
        if requirement.marker is None:
            wanted = not extra
        else:
            wanted = requirement.marker.evaluate({"extra": extra})
            wanted &= not extra or not requirement.marker.evaluate({"extra": ""})
        if wanted:
            yield requirement
