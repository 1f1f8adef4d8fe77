"""Plan, train and predict with nnU-Net, in the interpreter that has nnunetv2.

A script of its own: ``fewshot_trainer.py plan|train|predict SETTINGS.json``. It runs where there
may be nothing of this package, and is copied to where nnU-Net looks for trainers, since it holds
one; it finds its folders in nnU-Net's environment variables, and its settings beside itself.
"""

import json
import os
import random
import sys
from pathlib import Path
from typing import Any

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

__all__ = ["FewShotTrainer"]

DATASET = 1
PLANS = "nnUNetPlans"
_SHIFT = 0.1  # standard deviation, of images whose own is 1; how much is not published
_NOT_PUBLISHED = ("GaussianBlurTransform", "GammaTransform", "SimulateLowResolutionTransform")


class _Converged(Exception):  # noqa: N818 - ends the loop of nnU-Net's own training
    """No gain for as many epochs as the patience says."""


class Shift:
    """Adds a normally distributed number to an image.

    nnU-Net's library has such a transform, which draws evenly from 0 to the deviation by default.
    """

    def __call__(self, **data: Any) -> dict[str, Any]:
        """Shift the image among what belongs to a patch."""
        return {**data, "image": data["image"] + _SHIFT * torch.randn(1).item()}


class FewShotTrainer(nnUNetTrainer):  # type: ignore[misc] # of a library without types
    """Stops after some epochs without a better smoothed Dice of the validation patches.

    The names and number of its arguments are those of nnU-Net's own trainers.
    """

    def __init__(  # type: ignore[no-untyped-def]
        self,
        plans,
        configuration,
        fold,
        dataset_json,
        device=torch.device("cuda"),  # noqa: B008
    ) -> None:
        super().__init__(plans, configuration, fold, dataset_json, device)
        settings = json.loads(Path(__file__).with_name("settings.json").read_text("utf-8"))
        self.num_epochs = settings["epochs"]
        self.num_iterations_per_epoch = settings["iterations"]
        self.num_val_iterations_per_epoch = settings["validation_iterations"]
        self.save_every = 1 if self.num_epochs <= 20 else 5
        self._published = settings["augmentation"] == "published"
        self._patience = settings["patience"]
        self._waited = 0

    def get_training_transforms(self, *given: Any, **more: Any) -> Any:
        """nnU-Net's augmentations, or those of them that Xie et al. name, and a shift."""
        found = nnUNetTrainer.get_training_transforms(*given, **more)
        if not self._published:
            return found
        from batchgeneratorsv2.transforms.utils.random import RandomTransform

        kept = []
        for one in found.transforms:
            kind = type(getattr(one, "transform", one)).__name__
            if kind in _NOT_PUBLISHED:
                continue
            if kind == "SpatialTransform":
                one.p_rotation = 0
            elif kind == "MultiplicativeBrightnessTransform":
                kept.append(RandomTransform(Shift(), apply_probability=one.apply_probability))
            kept.append(one)
        found.transforms = kept
        return found

    def on_epoch_end(self) -> None:
        """Count the epochs without gain."""
        before = self._best_ema
        super().on_epoch_end()
        # In the first epochs no label may be found at all, which is no sign of having converged.
        begun = self._best_ema is not None and self._best_ema > 0
        self._waited = self._waited + 1 if begun and self._best_ema == before else 0
        if self._waited >= self._patience:
            self.print_to_log_file(f"No gain in the last {self._patience} epochs: converged.")
            raise _Converged

    def run_training(self) -> None:
        """Train as nnU-Net does, to the end or until it has converged."""
        try:
            super().run_training()
        except _Converged:
            self.on_train_end()


def plan(settings: dict[str, Any]) -> None:
    """Take the fingerprint, plan, preprocess, and write the split."""
    from nnunetv2.experiment_planning.plan_and_preprocess_api import (
        extract_fingerprint_dataset,
        plan_experiment_dataset,
        preprocess_dataset,
    )

    workers = max(1, settings["workers"])
    extract_fingerprint_dataset(
        DATASET, num_processes=workers, check_dataset_integrity=True, show_progress_bar=False
    )
    plan_experiment_dataset(DATASET, gpu_memory_target_in_gb=settings["memory_gb"])
    preprocess_dataset(
        DATASET, PLANS, (settings["configuration"],), [workers], show_progress_bar=False
    )
    folder = Path(os.environ["nnUNet_preprocessed"], settings["dataset"])  # noqa: SIM112
    (folder / "splits_final.json").write_text(json.dumps([settings["split"]]), "utf-8")


def train(settings: dict[str, Any]) -> None:
    """Train, or go on from the last checkpoint."""
    import numpy as np
    from nnunetv2.run.run_training import get_trainer_from_args, maybe_load_checkpoint

    random.seed(settings["seed"])
    np.random.seed(settings["seed"])
    torch.manual_seed(settings["seed"])
    resume = any(_fold(settings).glob("checkpoint_latest.pth"))
    trainer = get_trainer_from_args(
        settings["dataset"],
        settings["configuration"],
        settings["fold"],
        FewShotTrainer.__name__,
        PLANS,
        resume,
        torch.device(settings["device"]),
    )
    maybe_load_checkpoint(trainer, resume, False)
    trainer.run_training()


def predict(settings: dict[str, Any]) -> None:
    """Predict every case of a folder."""
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    predictor = nnUNetPredictor(
        tile_step_size=0.5,
        use_mirroring=True,
        perform_everything_on_device=settings["device"] != "cpu",
        device=torch.device(settings["device"]),
        allow_tqdm=False,
    )
    predictor.initialize_from_trained_model_folder(
        str(_fold(settings).parent), (settings["fold"],), settings["checkpoint"]
    )
    predictor.predict_from_files_sequential(settings["images"], settings["labels"])


def _fold(settings: dict[str, Any]) -> Path:
    run = f"{FewShotTrainer.__name__}__{PLANS}__{settings['configuration']}"
    results = Path(os.environ["nnUNet_results"], settings["dataset"], run)  # noqa: SIM112
    return results / f"fold_{settings['fold']}"


if __name__ == "__main__":
    step = {"plan": plan, "train": train, "predict": predict}[sys.argv[1]]
    step(json.loads(Path(sys.argv[2]).read_text("utf-8")))
