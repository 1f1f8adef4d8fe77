"""Plan, train and predict with nnU-Net, in the interpreter that has nnunetv2.

A script of its own: ``driver.py plan|train|predict SETTINGS.json``. It may run where there is
nothing of this package, and finds its folders in nnU-Net's environment variables.
"""

import json
import os
import random
import sys
from pathlib import Path
from typing import Any

DATASET = 1
TRAINER = "FewShotTrainer"
PLANS = "nnUNetPlans"


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
    import torch
    from nnunetv2.run.run_training import get_trainer_from_args, maybe_load_checkpoint

    random.seed(settings["seed"])
    np.random.seed(settings["seed"])
    torch.manual_seed(settings["seed"])
    resume = any(_fold(settings).glob("checkpoint_latest.pth"))
    trainer = get_trainer_from_args(
        settings["dataset"],
        settings["configuration"],
        settings["fold"],
        TRAINER,
        PLANS,
        resume,
        torch.device(settings["device"]),
    )
    maybe_load_checkpoint(trainer, resume, False)
    trainer.run_training()


def predict(settings: dict[str, Any]) -> None:
    """Predict every case of a folder."""
    import torch
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
    run = f"{TRAINER}__{PLANS}__{settings['configuration']}"
    results = Path(os.environ["nnUNet_results"], settings["dataset"], run)  # noqa: SIM112
    return results / f"fold_{settings['fold']}"


if __name__ == "__main__":
    step = {"plan": plan, "train": train, "predict": predict}[sys.argv[1]]
    step(json.loads(Path(sys.argv[2]).read_text("utf-8")))
