"""nnU-Net's raw format, and its process, with a stand-in for nnunetv2 that is quick.

The stand-in has the functions that the driver calls. The real one is run where it is installed
(or named by NAPARI_FEWSHOT_NNUNET_PYTHON) and NAPARI_FEWSHOT_RUN_NNUNET is set: minutes.
"""

from __future__ import annotations

import json
import os
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import nibabel
import numpy as np
import pytest

from napari_fewshot import Template
from napari_fewshot.bench.methods import MethodContext
from napari_fewshot.bench.methods.baseline import BaselineConfig, collect_slices
from napari_fewshot.bench.methods.nnunet import NnUNet
from napari_fewshot.bench.methods.nnunet_cases import write_dataset
from napari_fewshot.config import IntensityConfig
from napari_fewshot.errors import Cancelled, FewShotError, InputError, UnknownNameError
from napari_fewshot.phantoms import make_phantom
from napari_fewshot.types import Volume

WHOLE = IntensityConfig(low=0, high=100)
SETTINGS = BaselineConfig(intensity=WHOLE)

STAND_IN = {
    "nnunetv2/__init__.py": "",
    "nnunetv2/experiment_planning/__init__.py": "",
    "nnunetv2/experiment_planning/plan_and_preprocess_api.py": """
import os
from pathlib import Path
def extract_fingerprint_dataset(dataset, num_processes, **more): print("fingerprint", dataset)
def plan_experiment_dataset(dataset, gpu_memory_target_in_gb): pass
def preprocess_dataset(dataset, plans, configurations, workers, show_progress_bar):
    Path(os.environ["nnUNet_preprocessed"], "Dataset001_FewShot").mkdir()
""",
    "nnunetv2/training/__init__.py": "",
    "nnunetv2/training/nnUNetTrainer/__init__.py": "",
    "nnunetv2/training/nnUNetTrainer/nnUNetTrainer.py": """
import os, time
from pathlib import Path
from batchgeneratorsv2.transforms.utils.random import RandomTransform
def _kind(name): return type(name, (), {"p_rotation": 0.2})()
class _Compose:
    def __init__(self, transforms): self.transforms = transforms
class nnUNetTrainer:
    @staticmethod
    def get_training_transforms(*given, **more):
        names = ("GaussianNoiseTransform", "GaussianBlurTransform",
                 "MultiplicativeBrightnessTransform", "ContrastTransform",
                 "SimulateLowResolutionTransform", "GammaTransform")
        return _Compose([_kind("SpatialTransform")]
                        + [RandomTransform(_kind(name), 0.15) for name in names]
                        + [_kind("MirrorTransform"), _kind("RemoveLabelTansform")])
    def __init__(self, plans, configuration, fold, dataset_json, device):
        self._best_ema, self.current_epoch = None, 0
        self.folder = Path(os.environ["nnUNet_results"], "Dataset001_FewShot",
                           f"{type(self).__name__}__nnUNetPlans__{configuration}", f"fold_{fold}")
        self.folder.mkdir(parents=True, exist_ok=True)
    def print_to_log_file(self, *words): print(*words)
    def on_epoch_end(self):
        if self.current_epoch < 2:
            self._best_ema = self.current_epoch
        self.current_epoch += 1
    def on_train_end(self): (self.folder / "checkpoint_final.pth").write_text("done")
    def run_training(self):
        found = self.get_training_transforms((8, 8), mirror_axes=(0, 1)).transforms
        print("transforms", *(type(getattr(t, "transform", t)).__name__ for t in found))
        print("rotation", found[0].p_rotation)
        shifts = [t.transform for t in found if isinstance(t, RandomTransform)]
        shifts = [t for t in shifts if type(t).__name__ == "Shift"]
        print("shifted", *(shift(image=1.0, segmentation=2) for shift in shifts))
        for epoch in range(self.num_epochs):
            print(f"Epoch {epoch}")
            time.sleep(float(os.environ.get("PAUSE", "0")))
            self.on_epoch_end()
        self.on_train_end()
""",
    "batchgeneratorsv2/__init__.py": "",
    "batchgeneratorsv2/transforms/__init__.py": "",
    "batchgeneratorsv2/transforms/utils/__init__.py": "",
    "batchgeneratorsv2/transforms/utils/random.py": """
class RandomTransform:
    def __init__(self, transform, apply_probability=1):
        self.transform, self.apply_probability = transform, apply_probability
""",
    "nnunetv2/run/__init__.py": "",
    "nnunetv2/run/run_training.py": """
import os, sys
def get_trainer_from_args(dataset, configuration, fold, trainer, plans, resume, device):
    if os.environ.get("BREAK"):
        raise RuntimeError("the stand-in was told to break")
    sys.path.insert(0, os.environ["nnUNet_extTrainer"])
    import fewshot_trainer
    return getattr(fewshot_trainer, trainer)({}, configuration, fold, {}, device)
def maybe_load_checkpoint(trainer, resume, only_validate): pass
""",
    "nnunetv2/inference/__init__.py": "",
    "nnunetv2/inference/predict_from_raw_data.py": """
import nibabel, numpy
from pathlib import Path
class nnUNetPredictor:
    def __init__(self, **settings): pass
    def initialize_from_trained_model_folder(self, folder, folds, checkpoint):
        assert (Path(folder) / f"fold_{folds[0]}" / checkpoint).is_file()
    def predict_from_files_sequential(self, images, labels):
        for file in sorted(Path(images).iterdir()):
            image = nibabel.load(file)
            data = (numpy.asarray(image.dataobj) > 0).astype("uint8")
            name = file.name.replace("_0000.nii", ".nii")
            nibabel.save(nibabel.Nifti1Image(data, image.affine), Path(labels) / name)
""",
    "torch.py": """
def manual_seed(seed): pass
def device(name): return name
class randn:
    def __init__(self, size): pass
    def item(self): return -2.0
""",
}


@pytest.fixture
def stand_in(tmp_path: Path) -> str:
    """An interpreter that has the stand-in."""
    if sys.platform == "win32":
        pytest.skip("the stand-in is a shell script")
    folder = tmp_path / "stand-in"
    for name, text in STAND_IN.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}" exec "{sys.executable}" "$@"\n', "utf-8")
    python.chmod(0o755)
    return str(python)


def nnunet(work: Path, **settings: object) -> NnUNet:
    return NnUNet(settings, MethodContext(0, "cpu", work))


def scene(slices: int = 5) -> tuple[Volume, np.ndarray]:
    """Bright is label 4, dark is none; coordinates are not symmetric."""
    labels = np.zeros((slices, 12, 16), np.int32)
    labels[1:, 2:6, 3:9] = 4
    image = np.where(labels > 0, 10.0, -2.0) + np.random.default_rng(0).normal(0, 0.1, labels.shape)
    affine = np.zeros((4, 4))
    affine[0, 2], affine[1, 1], affine[2, 0], affine[3, 3] = -1.5, 2.0, 3.0, 1.0
    return Volume(image.astype(np.float32), (3.0, 2.0, 1.5), affine=affine), labels


def read(file: Path) -> tuple[np.ndarray, tuple[float, ...]]:
    image = nibabel.load(file)
    zooms = tuple(float(z) for z in image.header.get_zooms())
    return np.asarray(image.dataobj).T, zooms[::-1]


def test_2d_writes_each_known_slice_as_a_case(tmp_path: Path) -> None:
    image, labels = scene()
    kept = np.zeros_like(labels)
    kept[3] = labels[3]
    template = Template(image, kept, axis=0, slices=[0, 3], names={4: "Left Kidney (L)"})
    learned = collect_slices([template], SETTINGS)
    split = write_dataset(tmp_path, learned, "2d", WHOLE, 0.1)
    assert json.loads((tmp_path / "dataset.json").read_text()) == {
        "channel_names": {"0": "noNorm"},
        "labels": {"background": 0, "left_kidney_l": 1},
        "numTraining": 2,
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "NibabelIO",
    }
    names = ["slice_00000", "slice_00001"]
    assert split == {"train": names, "val": names}
    empty, spacing = read(tmp_path / "labelsTr" / "slice_00000.nii.gz")
    assert spacing == (999.0, 2.0, 1.5)
    assert empty.shape == (1, 12, 16)
    assert not empty.any()
    found, _ = read(tmp_path / "labelsTr" / "slice_00001.nii.gz")
    pixels, spacing = read(tmp_path / "imagesTr" / "slice_00001_0000.nii.gz")
    assert spacing == (999.0, 2.0, 1.5)
    assert set(np.unique(found)) == {0, 1}
    assert found.sum() == (labels[3] > 0).sum()
    assert pixels[found == 1].min() > pixels[found == 0].max()  # image and labels match
    # Normalised over the volume, not over the slice.
    everywhere = (image.data - image.data.mean()) / image.data.std()
    np.testing.assert_allclose(np.sort(pixels, None), np.sort(everywhere[3], None), atol=1e-4)


def test_3d_writes_volumes_with_unknown_slices_ignored(tmp_path: Path) -> None:
    image, labels = scene()
    kept = np.zeros_like(labels)
    kept[2] = labels[2]
    learned = collect_slices([Template(image, kept, axis=0)], SETTINGS)
    write_dataset(tmp_path, learned, "3d_fullres", WHOLE, 0.1)
    content = json.loads((tmp_path / "dataset.json").read_text())
    assert content["labels"] == {"background": 0, "4": 1, "ignore": 2}
    found, spacing = read(tmp_path / "labelsTr" / "volume_0000.nii.gz")
    pixels, _ = read(tmp_path / "imagesTr" / "volume_0000_0000.nii.gz")
    assert found.shape == pixels.shape == (5, 12, 16)
    assert spacing == (3.0, 2.0, 1.5)
    known = [k for k in range(5) if not (found[k] == 2).all()]
    assert len(known) == 1
    assert pixels[found == 1].min() > pixels[found == 0].max()


def test_labels_that_were_not_looked_for_are_ignored(tmp_path: Path) -> None:
    image, labels = scene()
    other = np.where(labels > 0, 7, 0)
    templates = [
        Template(image, labels, axis=0, known_labels=[4, 7]),
        Template(scene()[0], other, axis=0, known_labels=[7]),
    ]
    learned = collect_slices(templates, SETTINGS)
    write_dataset(tmp_path, learned, "2d", WHOLE, 0.0)
    first, last = (
        read(f)[0] for f in sorted((tmp_path / "labelsTr").iterdir())[:: len(learned.examples) - 1]
    )
    assert set(np.unique(first)) == {0, 1}
    assert set(np.unique(last)) == {2, 3}


def test_whole_volumes_are_held_out(tmp_path: Path) -> None:
    image, labels = scene()
    templates = [  # of four images: one that is given four times is one
        Template(image.with_data(image.data + k), labels, axis=0) for k in range(4)
    ]
    learned = collect_slices(templates, SETTINGS)
    split = write_dataset(tmp_path, learned, "2d", WHOLE, 0.25)
    assert len(split["train"]) == 12
    assert split["val"] == [f"slice_{k:05d}" for k in range(12, 16)]


def test_a_tenth_of_the_slices_is_held_out_evenly(tmp_path: Path) -> None:
    image, labels = scene(20)
    learned = collect_slices([Template(image, labels, axis=0, slices="all")], SETTINGS)
    split = write_dataset(tmp_path, learned, "2d", WHOLE, 0.1, "slices")
    assert split["val"] == ["slice_00005", "slice_00015"]
    assert len(split["train"]) == 18
    assert not set(split["train"]) & set(split["val"])
    few = write_dataset(tmp_path / "few", learned, "2d", WHOLE, 0.01, "slices")
    assert few["val"] == few["train"]


@pytest.mark.parametrize("augmentation", ["nnunet", "published"])
def test_augmentations_and_split_as_published(
    tmp_path: Path, stand_in: str, augmentation: str
) -> None:
    image, labels = scene(20)
    settings = {"held_out": 0.1, "hold_out": "slices", "augmentation": augmentation}
    method = nnunet(tmp_path, python=stand_in, epochs=1, **settings)
    method.fit([Template(image, labels, axis=0, slices="all")])
    files = sorted((method.folders.root / "preprocessed").rglob("splits_final.json"))
    (split,) = json.loads(files[0].read_text())
    assert len(split["val"]) == 2
    log = method.folders.log.read_text()
    names = re.search(r"transforms (.*)", log)[1].split()
    left_out = {"GaussianBlurTransform", "GammaTransform", "SimulateLowResolutionTransform"}
    if augmentation == "nnunet":
        assert left_out < set(names)
        assert "rotation 0.2" in log
    else:
        assert names == [
            "SpatialTransform",
            "GaussianNoiseTransform",
            "Shift",
            "MultiplicativeBrightnessTransform",
            "ContrastTransform",
            "MirrorTransform",
            "RemoveLabelTansform",
        ]
        assert "rotation 0\n" in log
        assert "shifted {'image': 0.8, 'segmentation': 2}" in log


@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
@pytest.mark.parametrize("axis", [0, 2])
def test_from_templates_to_labels_in_file_order(
    tmp_path: Path, stand_in: str, configuration: str, axis: int
) -> None:
    image, labels = scene()
    method = nnunet(tmp_path, python=stand_in, epochs=9, patience=2, configuration=configuration)
    seen: list[tuple[int, int]] = []
    method.fit([Template(image, labels, axis=axis)], lambda a, b, what: seen.append((a, b)))
    log = method.folders.log.read_text()
    assert "No gain in the last 2 epochs" in log
    assert log.count("Epoch ") == 4  # gains in the first two
    assert seen
    assert all(total == 9 for _, total in seen)
    found = method.predict(image, axis)
    np.testing.assert_array_equal(found.labels, labels)
    assert not any((method.folders.root / "predict").iterdir())

    again = nnunet(tmp_path, python=stand_in, epochs=9, patience=2, configuration=configuration)
    again.fit([Template(image, labels, axis=axis)])  # trained already
    assert again.folders.log.read_text().count("== train ==") == 1
    again.fit([Template(image, np.roll(labels, 1, axis=1), axis=axis)])  # other templates
    assert again.folders.log.read_text().count("fingerprint") == 1


def test_a_failure_shows_the_end_of_the_log(
    tmp_path: Path, stand_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BREAK", "1")
    method = nnunet(tmp_path, python=stand_in)
    with pytest.raises(FewShotError, match="told to break") as caught:
        method.fit([Template(*scene(), axis=0)])
    assert "step train" in str(caught.value)
    assert "nnunet.log" in str(caught.value)


def test_cancelling_ends_the_process(
    tmp_path: Path, stand_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAUSE", "60")
    method = nnunet(tmp_path, python=stand_in)

    def stop(done: int, total: int, what: str) -> None:
        if "Epoch 0" in method.folders.log.read_text():
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        method.fit([Template(*scene(), axis=0)], stop)
    monkeypatch.setenv("PAUSE", "0")
    nnunet(tmp_path, python=stand_in).fit([Template(*scene(), axis=0)])  # goes on to train
    assert method.folders.log.read_text().count("== plan ==") == 1


def test_the_users_own_folders_of_nnunet_are_left_alone(
    tmp_path: Path, stand_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("nnUNet_results", str(tmp_path / "users"))
    nnunet(tmp_path, python=stand_in, epochs=1).fit([Template(*scene(), axis=0)])
    assert not (tmp_path / "users").exists()


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    template = Template(*scene(), axis=0)
    with pytest.raises(InputError, match="Python interpreter"):
        nnunet(tmp_path, python=str(tmp_path / "none")).fit([template])
    if find_spec("nnunetv2") is None:
        with pytest.raises(InputError, match=r"napari-fewshot\[nnunet\]"):
            nnunet(tmp_path).fit([template])


def test_settings_are_checked(tmp_path: Path, stand_in: str) -> None:
    with pytest.raises(UnknownNameError, match="epochs"):
        nnunet(tmp_path, epoch=3)
    with pytest.raises(InputError, match=r"settings\.configuration"):
        nnunet(tmp_path, configuration="3d_lowres")
    with pytest.raises(InputError, match='hold_out = "volumes" with 3d_fullres'):
        nnunet(tmp_path, configuration="3d_fullres", hold_out="slices")
    flat = Volume(np.random.default_rng(0).random((9, 9), dtype=np.float32), (1.0, 1.0))
    with pytest.raises(InputError, match="2d for 2D images"):
        nnunet(tmp_path, python=stand_in, configuration="3d_fullres").fit(
            [Template(flat, np.eye(9, dtype=np.int32))]
        )


@pytest.mark.slow
@pytest.mark.parametrize("configuration", ["2d", "3d_fullres"])
def test_the_real_one(tmp_path: Path, configuration: str) -> None:
    if not os.environ.get("NAPARI_FEWSHOT_RUN_NNUNET"):
        pytest.skip("takes minutes: set NAPARI_FEWSHOT_RUN_NNUNET to run the real nnU-Net")
    python = os.environ.get("NAPARI_FEWSHOT_NNUNET_PYTHON")
    if python is None and find_spec("nnunetv2") is None:
        pytest.skip("nnunetv2 (extra nnunet) is not installed")
    phantom = make_phantom("torso", 0, (16, 40, 44))
    method = nnunet(
        tmp_path,
        python=python,
        configuration=configuration,
        epochs=2,
        iterations=4,
        validation_iterations=1,
    )
    method.fit([Template(phantom.image, phantom.labels, axis=0, slices=list(range(2, 14, 2)))])
    found = method.predict(phantom.image, 0).labels
    assert found is not None
    assert found.shape == phantom.image.shape
    assert set(np.unique(found)) <= {0, *phantom.labels.names}
