"""A trainer of nnU-Net with our settings; copied to where nnU-Net looks for trainers.

It runs in the interpreter that has nnunetv2, which may have nothing of this package.
"""

import json
from pathlib import Path

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

__all__ = ["FewShotTrainer"]


class _Converged(Exception):  # noqa: N818 - ends the loop of nnU-Net's own training
    """No gain for as many epochs as the patience says."""


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
        self._patience = settings["patience"]
        self._waited = 0

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
