"""The few-shot mask decoder of SAM: prompted by the templates, trained on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..adapters.base import AdapterEntry, AdapterState, fitted
from ..adapters.training import load_tensors
from ..config import SegmenterConfig
from ..device import seeded
from ..errors import InputError
from ..slices.stack import SlicePosition
from ..templates.augmentation import Augmentation, FeatureRequirements
from ..templates.known import KnownSlice
from ..types import Array, FeatureMap, Progress, SliceFeatures, joint_progress, no_progress
from .cells import TargetEmbeddings, cells_to_pixels, coverage, nearest_cells, refined
from .checkpoint import SAMS, read_sam
from .decoder_training import DecoderTraining, TrainingSample, batches, choose_held_out

if TYPE_CHECKING:
    from .networks import DecoderArchitecture, FewShotDecoder

__all__ = ["SamDecoderAdapter"]

_PREFIX = "decoder."


def _check_sam(config: SegmenterConfig) -> None:
    """Raise :class:`InputError` unless the backbone is the image encoder of a SAM."""
    if config.backbone not in SAMS:
        raise InputError(
            "backbone",
            f"be one of {', '.join(SAMS)} with adapter sam-decoder",
            config.backbone,
            "Choose one of these, or another adapter.",
        )


class SamDecoderAdapter:
    """SAM's mask decoder with the templates as prompts, fine-tuned on them.

    After "SAM Fewshot Finetuning for Anatomical Segmentation in Medical Images" (Xie et al.
    2024, arXiv:2407.04651). Target embeddings, the mean embedding inside each label on each
    template slice, take the place of points and boxes (section 3.2.1). For each label the decoder
    gives a foreground and a background logit; only the decoder is trained (section 4.4). The
    preset "published" is the paper; the defaults start, prompt and train otherwise, see
    :class:`~napari_fewshot.config.SamDecoderConfig`.

    With L labels, the logit of a label is its foreground logit less its background logit, that
    of background is 0, and the class probabilities are the softmax over these L + 1. For one
    label that is the softmax over its two channels; for several, two labels that both claim a
    pixel share it in proportion to their odds.

    Feature maps must keep the cells of padding. Features of images of other than one or three
    channels, which are encoded channel by channel, are averaged. Position, sampling and the
    resolution of the propagation have no effect: the decoder sees whole maps, with SAM's own
    positional encoding.

    ``weights`` is a local checkpoint of the backbone; only :meth:`fit` reads it.
    """

    def __init__(
        self, config: SegmenterConfig, device: str = "cpu", weights: Path | None = None
    ) -> None:
        _check_sam(config)
        self.config = config.sam_decoder
        self.backbone = config.backbone
        self.seed = config.seed
        self.device = device
        self.weights = weights
        self._network: FewShotDecoder | None = None
        self._embeddings: TargetEmbeddings | None = None
        self._earlier: tuple[TargetEmbeddings, Sequence[int]] | None = None

    @property
    def requirements(self) -> FeatureRequirements:
        """Whole maps, and copies of the template slices."""
        count = self.config.augmentations
        augmentation = Augmentation(count, self.config.flips, self.seed) if count else None
        return FeatureRequirements(padding=True, whole=True, augmentation=augmentation)

    @property
    def label_count(self) -> int:
        """Number of labels that were learned."""
        return int(fitted(self._embeddings, "The adapter").present.shape[1])

    def fit(
        self,
        examples: Sequence[KnownSlice],
        maps: Iterable[SliceFeatures],
        label_values: Sequence[int],
        progress: Progress = no_progress,
    ) -> SamDecoderAdapter:
        """Train from SAM's weights; see :class:`~.base.Adapter`."""
        network = self._from_sam()
        samples, embeddings = self._samples(examples, maps, label_values, network.architecture)
        templates = [known for known in examples if known.origin is None]
        held_out = choose_held_out(templates) if self.config.best_epoch else []
        epochs = self.config.epochs_for(len(templates))
        again = bool(held_out) and self.config.refit
        steps = epochs * self.config.steps_per_epoch(len(templates), len(samples))
        counters = joint_progress([steps, steps] if again else [steps], progress)
        training = DecoderTraining(network, embeddings, label_values, self.config, self.seed)
        epochs = training.run(samples, held_out, epochs, _scaled(counters[0], steps))
        if again:
            network = self._from_sam()
            training = DecoderTraining(network, embeddings, label_values, self.config, self.seed)
            training.run(samples, [], epochs, _scaled(counters[1], steps))
        self._network, self._embeddings = network, embeddings
        return self

    def update(
        self,
        examples: Sequence[KnownSlice],
        maps: Iterable[SliceFeatures],
        label_values: Sequence[int],
        before: Sequence[int],
        progress: Progress = no_progress,
    ) -> SamDecoderAdapter:
        """Take the target embeddings anew and train on for a few epochs.

        The weights know nothing of single labels, so labels may come and go.
        """
        network = fitted(self._network, "The adapter")
        samples, embeddings = self._samples(examples, maps, label_values, network.architecture)
        training = DecoderTraining(network, embeddings, label_values, self.config, self.seed)
        training.run(samples, [], self.config.update_epochs, progress)
        self._embeddings = embeddings
        return self

    def predict(
        self, features: FeatureMap, position: SlicePosition, rows: slice = slice(None)
    ) -> Array:
        """Class probabilities, shape (L + 1, H, W), float32; see :class:`~.base.Adapter`."""
        network = fitted(self._network, "The adapter")
        embeddings = fitted(self._embeddings, "The adapter")
        import torch

        embedding = _embedding(features, network.architecture)
        prompts = {label: embeddings.of_label(label) for label in range(self.label_count)}
        logits = torch.full((len(prompts) + 1, *features.shape), -torch.inf, device=self.device)
        logits[0] = 0.0
        side = self.config.mask_scale * network.architecture.grid
        with torch.inference_mode():
            image = torch.from_numpy(embedding.data.astype(np.float32)).to(self.device)
            for labels, vectors in batches(prompts, network.architecture.grid**2):
                found = network(image, torch.from_numpy(vectors).to(self.device))
                margins = refined(found[:, :1] - found[:, 1:], side)
                margins = cells_to_pixels(margins, features.shape, features.extent)
                logits[[label + 1 for label in labels]] = margins[:, 0]
            probabilities: Array = logits.softmax(0).cpu().numpy()
        return probabilities

    def recall(self, state: AdapterState, before: Sequence[int]) -> bool:
        """Prompt with the target embeddings of before too; see :class:`~.base.Adapter`."""
        vectors, present = state.tensors["targets"], state.tensors["present"].astype(bool)
        self._earlier = TargetEmbeddings(vectors, present), tuple(before)
        return True

    def state(self) -> AdapterState:
        """Decoder, target embeddings and measures; see :class:`~.base.Adapter`."""
        network = fitted(self._network, "The adapter")
        embeddings = fitted(self._embeddings, "The adapter")
        state = network.state_dict()
        tensors = {
            f"{_PREFIX}{name}": tensor.cpu().numpy().copy() for name, tensor in state.items()
        }
        tensors |= {"targets": embeddings.vectors, "present": embeddings.present}
        return AdapterState(tensors, {"measures": list(network.architecture)})

    def restore(self, state: AdapterState) -> SamDecoderAdapter:
        """Become the adapter that ``state`` was taken from; the checkpoint is not needed."""
        from .networks import DecoderArchitecture

        of = DecoderArchitecture(*(int(n) for n in state.values["measures"]))
        tensors = {
            name.removeprefix(_PREFIX): array
            for name, array in state.tensors.items()
            if name.startswith(_PREFIX)
        }
        vectors, present = state.tensors["targets"], state.tensors["present"].astype(bool)
        if of.n_layers > len(tensors) or vectors.shape != (*present.shape, of.channels):
            raise ValueError(f"measures {tuple(of)} for targets of shape {vectors.shape}")
        self._network = load_tensors(partial(self._build, of), tensors, self.device)
        self._embeddings = TargetEmbeddings(vectors, present)
        return self

    def _samples(
        self,
        examples: Sequence[KnownSlice],
        maps: Iterable[SliceFeatures],
        label_values: Sequence[int],
        architecture: DecoderArchitecture,
    ) -> tuple[list[TrainingSample], TargetEmbeddings]:
        """All images to learn from, and the target embeddings of those that are no copies."""
        embeddings = [_embedding(next(one.parts()), architecture) for one in maps]
        weigh = nearest_cells if self.config.target_masks == "nearest" else coverage
        of_all = TargetEmbeddings.of(examples, embeddings, label_values, weigh)
        templates = [k for k, known in enumerate(examples) if known.origin is None]
        numbers = {id(examples[k]): own for own, k in enumerate(templates)}
        samples = [
            TrainingSample(known, found, numbers[id(known.origin or known)], vectors, present)
            for known, found, vectors, present in zip(
                examples, embeddings, of_all.vectors, of_all.present, strict=True
            )
        ]
        prompting = of_all.only(templates)
        if self._earlier is not None:
            earlier, before = self._earlier
            columns = [list(label_values).index(value) for value in before]
            prompting = prompting.joined(earlier, columns)
        return samples, prompting

    def _from_sam(self) -> FewShotDecoder:
        from .networks import DecoderArchitecture

        checkpoint = read_sam(self.backbone, self.weights)
        of = checkpoint.architecture
        network = self._build(
            DecoderArchitecture(of.channels, of.grid, of.decoder_layers, of.decoder_mlp)
        )
        network.start_from(checkpoint, decoder=self.config.start != "scratch")
        if self.config.start == "sam":
            network.start_as_masks(checkpoint)
        return network.to(self.device)

    def _build(self, architecture: DecoderArchitecture) -> FewShotDecoder:
        from .networks import FewShotDecoder

        with seeded(self.seed):
            return FewShotDecoder(architecture)


def _scaled(progress: Progress, steps: int) -> Progress:
    """Progress of a part that may take fewer steps than it was given."""
    return lambda done, total, what: progress(done * steps // total, steps, what)


def _embedding(features: FeatureMap, architecture: DecoderArchitecture) -> FeatureMap:
    """Check an embedding, and average those of single channels."""
    shape = (architecture.channels, architecture.grid, architecture.grid)
    groups, rest = divmod(features.channels, architecture.channels)
    if rest or not groups or features.data.shape[1:] != shape[1:]:
        raise InputError(
            "features",
            f"be whole embeddings of SAM, ({', '.join(str(n) for n in shape)})",
            f"shape {features.data.shape}",
        )
    if groups == 1:
        return features
    mean = features.data.reshape(groups, *shape).astype(np.float32).mean(axis=0)
    return FeatureMap(mean, features.shape, features.extent)


ENTRIES = {
    "sam-decoder": AdapterEntry(
        "SAM's mask decoder, trained on the slices. Needs a SAM as backbone.",
        SamDecoderAdapter,
        _check_sam,
    )
}
