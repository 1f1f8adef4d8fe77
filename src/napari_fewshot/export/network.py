"""What of a learned model is a network: a slice to the probabilities of its labels."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..adapters import Adapter
from ..adapters.classification import ClassificationClassifier
from ..adapters.contrastive import ContrastiveClassifier
from ..adapters.contrastive_network import PairNetwork
from ..adapters.pixelwise import PixelAdapter
from ..adapters.projection import Projection
from ..backbones.base import Backbone
from ..backbones.embedded import EmbeddedBackbone
from ..backbones.embedded_network import EmbeddedNet
from ..backbones.multiscale import MultiscaleBackbone, VolumetricBackbone
from ..config import HAND_MADE
from ..errors import InputError
from ..features.extract import FeatureExtractor
from ..predict.experts import MIN_PROBABILITY, Experts
from ..slices.grey import BRIGHTNESS, COLOURS
from .filters import Gaussian, HandMadeFeatures, VolumetricFeatures

__all__ = ["MIN_SIDE", "SliceNetwork"]

MIN_SIDE = 128
"""Pixels of a side: smaller images are mirrored before they are encoded, which is left out here."""

_COORDINATES = 3
_SMOOTHING_TRUNCATE = 3.0
_EXPORTED = ("contrastive", "classification")


class SliceNetwork(nn.Module):
    """All that a model says of one slice of an image that was not painted, before clean-up.

    The features of the backbone, of colours in grey, of a polished network and hand-made ones, the
    adapter of each, their weighted mean, and the Gaussian within the slice.
    """

    def __init__(self, experts: Experts) -> None:
        super().__init__()
        model = experts.model
        used = experts.adapters(is_painted=False)
        self.experts = nn.ModuleList(
            _Expert(adapter, extractor, model.axes[0]) for adapter, extractor, _ in used
        )
        self.reach = max(extractor.spec.context for _, extractor, _ in used)
        """Neighbours on each side that it sees of a slice."""
        self.weights = [weight for _, _, weight in used]
        self.temperature = model.temperature
        sigma = model.config.propagation.smoothing
        self.smooth = Gaussian(sigma, _SMOOTHING_TRUNCATE) if sigma else nn.Identity()
        self.requires_grad_(False).eval()

    @property
    def uses_depth(self) -> bool:
        """Whether it counts which slice of its volume an image is."""
        return any(expert.uses_depth for expert in self.experts)

    @property
    def is_of_volumes(self) -> bool:
        """Whether an image is more to it than one slice after the other."""
        return self.uses_depth or self.reach > 0

    def forward(self, image: Tensor, depth: Tensor | None = None) -> Tensor:
        """Class probabilities (B, L + 1, H, W) of slices (B, C, H, W), float32 in 0..1.

        Where it sees neighbours, slices come with them: (B, C, 1 + 2 · ``reach``, H, W).
        ``depth`` (B, 1) says where in its volume each slice lies, from -1 to 1; None: in the
        middle. Sides are at least :data:`MIN_SIDE`.
        """
        image = image.clamp(0, 1)
        found = [expert(image, depth) for expert in self.experts]
        if len(found) == 1 and self.temperature == 1:
            return self._smoothed(found[0])
        pairs = zip(found, self.weights, strict=True)
        logs = sum(weight * plane.clamp(min=MIN_PROBABILITY).log() for plane, weight in pairs)
        return self._smoothed((logs / self.temperature).softmax(dim=1))

    def _smoothed(self, planes: Tensor) -> Tensor:
        smooth: Tensor = self.smooth(planes)
        return smooth


class _Expert(nn.Module):
    """Features of a backbone, and what an adapter makes of them."""

    weight: Tensor
    bias: Tensor
    position: Tensor

    def __init__(self, adapter: Adapter, extractor: FeatureExtractor, axis: int) -> None:
        super().__init__()
        self.features = _features_of(extractor.backbone)
        self.reach = extractor.spec.context
        if extractor.in_grey:
            self.features = nn.Sequential(_Grey(), self.features)
        if not isinstance(adapter, PixelAdapter):
            raise _not_exported("adapter", type(adapter).__name__)
        classifier, state = adapter.classifier, adapter.state()
        if isinstance(classifier, ContrastiveClassifier):
            vectors = torch.from_numpy(state.tensors["classifier.references"].copy())
            self.classify: nn.Module = _Comparing(classifier.network, vectors)
        elif isinstance(classifier, ClassificationClassifier):
            self.classify = nn.Softmax(dim=-1)
        else:
            raise _not_exported("adapter", "cosine")
        projection = Projection.of(
            classifier.projection(),
            state.tensors["mean"],
            state.tensors["scale"],
            _COORDINATES if adapter.position.use else 0,
        )
        position = projection.position if adapter.position.use else None
        if position is None:
            position = torch.zeros(len(projection.bias), _COORDINATES)
        rows, columns = (n for n in range(_COORDINATES) if n != axis)
        self.register_buffer("position", position[:, [rows, columns, axis]].T.contiguous().cpu())
        self.register_buffer("weight", projection.weight.cpu())
        self.register_buffer("bias", projection.bias.cpu())
        self.layers = deepcopy(nn.Sequential(*classifier.layers()[1:])).cpu()

    @property
    def uses_depth(self) -> bool:
        """Whether the slice's place in the volume counts."""
        return bool(self.position[2].any())

    def forward(self, image: Tensor, depth: Tensor | None) -> Tensor:
        """Class probabilities (B, L + 1, H, W)."""
        if image.dim() > 4 and not self.reach:
            image = image[:, :, image.shape[2] // 2]
        pixels = self.features(image).permute(0, 2, 3, 1)
        projected = functional.linear(pixels, self.weight, self.bias)
        height, width = image.shape[-2:]
        rows = (2 * torch.arange(height) + 1) / height - 1
        columns = (2 * torch.arange(width) + 1) / width - 1
        projected = projected + rows[:, None, None] * self.position[0]
        projected = projected + columns[:, None] * self.position[1]
        if depth is not None:
            projected = projected + depth[:, None, None] * self.position[2]
        probabilities: Tensor = self.classify(self.layers(projected))
        return probabilities.permute(0, 3, 1, 2)


class _Comparing(nn.Module):
    """What the contrastive adapter makes of shared outputs (..., d): probabilities (..., L + 1)."""

    references: Tensor

    def __init__(self, network: PairNetwork, references: Tensor) -> None:
        super().__init__()
        self.network = deepcopy(network).cpu()
        self.register_buffer("references", references)

    def forward(self, outputs: Tensor) -> Tensor:
        logits = self.network.class_logits(
            outputs.flatten(0, -2), self.network.references(self.references)
        )
        probabilities: Tensor = logits.softmax(dim=1).unflatten(0, outputs.shape[:-1])
        return probabilities


class _Grey(nn.Module):
    """The brightness of slices of three colours; others as they are."""

    def forward(self, image: Tensor) -> Tensor:
        """Bring (B, C, H, W) to one channel."""
        if image.shape[1] != COLOURS:
            return image
        shares = torch.tensor(BRIGHTNESS).view(1, -1, 1, 1)
        return (image * shares).sum(dim=1, keepdim=True)


class _Embedded(nn.Module):
    """The features of the embedded backbone, of images of any size from ``MIN_SIDE`` on."""

    def __init__(self, backbone: EmbeddedBackbone) -> None:
        super().__init__()
        self.network: EmbeddedNet = deepcopy(backbone.network).cpu()
        prep = backbone.spec.preprocessing
        self.channels, self.multiple = prep.channels or 1, prep.multiple

    def forward(self, image: Tensor) -> Tensor:
        """Encode (B, C, H, W): a vector of length 1 for each pixel and group of channels."""
        batch, channels, height, width = image.shape
        alone = channels not in (1, self.channels)  # each channel is encoded as a grey image
        x = image.reshape(-1, 1, height, width) if alone else image
        x = x.expand(-1, self.channels, -1, -1)
        for axis in (2, 3):
            x = _mirrored_to(x, axis, self.multiple)
        coarse = functional.interpolate(
            self.network(_halved(x)), scale_factor=2.0, mode="bilinear", align_corners=False
        )
        features = functional.normalize(self.network(x) + coarse, dim=1)[..., :height, :width]
        return features.reshape(batch, -1, height, width)


def _mirrored_to(x: Tensor, axis: int, multiple: int) -> Tensor:
    """Mirror an axis at its end until its length is a multiple; ``numpy``'s mode ``symmetric``."""
    length = x.shape[axis]
    place = torch.arange((length + multiple - 1) // multiple * multiple)
    return x.index_select(axis, torch.minimum(place, 2 * length - 1 - place))


def _halved(x: Tensor) -> Tensor:
    """Shrink (B, C, H, W) by two, bilinearly with antialiasing, as ``interpolate`` does.

    Which ONNX has since its opset 18 only, and few programs know.
    """
    side = torch.tensor([0.125, 0.375, 0.375, 0.125])
    kernel = (side[:, None] * side).view(1, 1, 4, 4)
    batch, channels, height, width = x.shape
    x = x.reshape(batch * channels, 1, height, width)
    inside = torch.ones_like(x[:1])
    sums = functional.conv2d(x, kernel, stride=2, padding=1)
    sums = sums / functional.conv2d(inside, kernel, stride=2, padding=1)
    return sums.reshape(batch, channels, height // 2, width // 2)


def _features_of(backbone: Backbone) -> nn.Module:
    if isinstance(backbone, EmbeddedBackbone):
        return _Embedded(backbone)
    if isinstance(backbone, VolumetricBackbone):
        return VolumetricFeatures()
    if isinstance(backbone, MultiscaleBackbone):
        return HandMadeFeatures()
    raise _not_exported("backbone", backbone.spec.name)


def _not_exported(part: str, given: str) -> InputError:
    known: Sequence[str] = _EXPORTED if part == "adapter" else ("embedded", *HAND_MADE.values())
    return InputError(
        "model",
        f"have {part} {' or '.join(known)} to be exported",
        given,
        "Share the model file itself, or train one with the defaults.",
    )
