"""The few-shot mask decoder on a SAM of small measures and random weights."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_fewshot.adapters import build_adapter
from napari_fewshot.config import SegmenterConfig
from napari_fewshot.errors import Cancelled, InputError
from napari_fewshot.sam import decoder_training
from napari_fewshot.sam.cells import TargetEmbeddings, nearest_cells
from napari_fewshot.sam.checkpoint import read_sam
from napari_fewshot.sam.decoder import SamDecoderAdapter
from napari_fewshot.sam.decoder_training import DecoderTraining
from napari_fewshot.sam.networks import DecoderArchitecture, FewShotDecoder, build_heads
from napari_fewshot.slices.stack import SlicePosition
from napari_fewshot.templates.known import KnownSlice
from napari_fewshot.types import FeatureMap

SHAPE = (24, 40)
EXTENT = (40.0, 40.0)
GRID, CHANNELS = 8, 32
PLACE = SlicePosition(0, (9, *SHAPE), 0)


def config(**settings):
    quick = {"epochs": 3, "augmentations": 0}
    return SegmenterConfig(
        backbone="sam-vit-b", adapter="sam-decoder", sam_decoder=quick | settings
    )


def example(index=0, *, lacking=()):
    labels = np.zeros(SHAPE, np.int32)
    labels[3:12, 4 + index : 16 + index] = 3
    labels[14:22, 22:34] = 7
    labels[np.isin(labels, lacking)] = 0
    return KnownSlice(labels, SlicePosition(index, (9, *SHAPE), 0), frozenset({3, 7, 9}), 0)


def embedding(one, seed=0, groups=1):
    """Noise, and channels that tell the labels apart."""
    rng = np.random.default_rng(seed)
    data = rng.normal(0, 0.3, (groups * CHANNELS, GRID, GRID))
    rows, columns = (np.arange(GRID) * 5 + 2 for _ in range(2))
    inside = rows < SHAPE[0]
    cells = np.zeros((GRID, GRID))
    cells[inside] = one.labels[np.ix_(rows[inside], columns)]
    data[:4] += 2 * (cells == 3)
    data[4:8] += 2 * (cells == 7)
    return FeatureMap(data.astype(np.float16), SHAPE, EXTENT)


@pytest.fixture
def fit(tiny_sam):
    def make(examples, values=(3, 7), progress=lambda *_: None, **settings):
        adapter = build_adapter(config(**settings), "cpu", tiny_sam)
        maps = [embedding(one, k) for k, one in enumerate(examples)]
        return adapter.fit(examples, maps, values, progress)

    return make


@pytest.fixture
def decoder(tiny_sam):
    torch.manual_seed(0)
    made = FewShotDecoder(DecoderArchitecture(CHANNELS, GRID, 2, 64))
    made.start_from(read_sam("sam-vit-b", tiny_sam))
    return made.eval()


# ------------------------------------------------------------------ the network


def test_it_is_sams_decoder_with_two_tokens(decoder, tiny_sam):
    """With SAM's own tokens and the IoU token among the prompts it is SAM."""
    checkpoint = read_sam("sam-vit-b", tiny_sam)
    prompts, sam = build_heads(checkpoint)
    with torch.no_grad():
        decoder.decoder.mask_tokens.weight.copy_(sam.mask_tokens.weight[:2])
        image, vectors = torch.randn(CHANNELS, GRID, GRID), torch.randn(3, 2, CHANNELS)
        rest = torch.cat([sam.iou_token.weight, sam.mask_tokens.weight[2:]])
        found = decoder(image, torch.cat([rest.expand(3, -1, -1), vectors], dim=1))
        expected, _ = sam.predict_masks(
            image_embeddings=image[None],
            image_pe=prompts.get_dense_pe(),
            sparse_prompt_embeddings=vectors,
            dense_prompt_embeddings=prompts.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(
                3, -1, GRID, GRID
            ),
        )
    assert found.shape == (3, 2, 4 * GRID, 4 * GRID)
    torch.testing.assert_close(found, expected[:, :2], rtol=1e-4, atol=1e-5)


def test_weights_come_from_sam_where_shapes_agree(tiny_sam):
    torch.manual_seed(0)
    made = FewShotDecoder(DecoderArchitecture(CHANNELS, GRID, 2, 64))
    tokens = made.decoder.mask_tokens.weight.detach().clone()
    assert made.start_from(read_sam("sam-vit-b", tiny_sam)) == ["mask_tokens.weight"]
    torch.testing.assert_close(made.decoder.mask_tokens.weight.detach(), tokens)
    state = torch.load(tiny_sam, weights_only=True)
    for name, tensor in made.decoder.state_dict().items():
        if name != "mask_tokens.weight":
            torch.testing.assert_close(tensor, state[f"mask_decoder.{name}"])


def test_he_initialisation(decoder):
    wide = FewShotDecoder(DecoderArchitecture(256, 4, 1, 512))
    linear = wide.decoder.transformer.layers[0].mlp.lin1
    assert float(linear.weight.detach().std()) == pytest.approx(math.sqrt(2 / 256), rel=0.02)
    assert not linear.bias.detach().any()
    assert float(wide.decoder.mask_tokens.weight.detach().std()) == pytest.approx(
        math.sqrt(2 / 256), rel=0.15
    )


def test_only_the_decoder_is_trained(decoder):
    names = {name for name, _ in decoder.named_parameters()}
    assert {name.split(".")[0] for name in names} == {"decoder"}
    assert {"no_mask", "position.positional_encoding_gaussian_matrix"} == {
        name for name, _ in decoder.named_buffers()
    }


# ------------------------------------------------------------------ the adapter


def test_probabilities_are_those_of_a_plain_computation(fit):
    """Label by label, the odds at every pixel, and their softmax with background at 1."""
    adapter = fit([example(0), example(3, lacking=[7]), example(5)], values=(3, 7, 9))
    features = embedding(example(2), 9)
    found = adapter.predict(features, PLACE)
    assert found.shape == (4, *SHAPE)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.sum(0), 1, atol=1e-5)
    assert not found[3].any()  # never painted

    image = torch.from_numpy(features.data.astype(np.float32))
    odds = np.zeros((3, *SHAPE))
    odds[0] = 1
    for label in (0, 1):
        vectors = adapter._embeddings.of_label(label)
        assert len(vectors) == (3, 2)[label]
        with torch.no_grad():
            low = adapter._network(image, torch.from_numpy(vectors)[None])[0].numpy()
        margin = low[0] - low[1]
        cells = EXTENT[0] / len(margin)
        for row, column in [(0, 0), (13, 5), (23, 39), (7, 30)]:
            y = np.clip((row + 0.5) / cells - 0.5, 0, None)
            x = np.clip((column + 0.5) / cells - 0.5, 0, len(margin) - 1)
            top, left = int(y), int(x)
            dy, dx = y - top, x - left
            right = min(left + 1, len(margin) - 1)
            value = (
                margin[top, left] * (1 - dy) * (1 - dx)
                + margin[top, right] * (1 - dy) * dx
                + margin[top + 1, left] * dy * (1 - dx)
                + margin[top + 1, right] * dy * dx
            )
            odds[label + 1, row, column] = np.exp(value)
    for row, column in [(0, 0), (13, 5), (23, 39), (7, 30)]:
        expected = odds[:, row, column] / odds[:, row, column].sum()
        np.testing.assert_allclose(found[:3, row, column], expected, atol=1e-4)


def test_it_learns_what_the_embedding_shows(fit):
    examples = [example(k) for k in (0, 2, 4, 6)]
    adapter = fit(examples, epochs=60, learning_rate=1e-3)
    fresh = example(3)
    found = np.array([0, 3, 7])[adapter.predict(embedding(fresh, 11), PLACE).argmax(0)]
    for value in (3, 7):
        both = ((found == value) & (fresh.labels == value)).sum()
        assert 2 * both / ((found == value).sum() + (fresh.labels == value).sum()) > 0.5


def test_after_the_best_pass_is_known_all_slices_are_learned_from(fit, monkeypatch):
    """The same weights as by as many passes over all slices from the start."""
    examples = [example(k) for k in range(3)]
    seen, runs = [], []
    true_run = DecoderTraining.run

    def run(self, samples, held_out, passes, progress):
        best = true_run(self, samples, held_out, passes, progress)
        runs.append((list(held_out), passes, best))
        return best

    monkeypatch.setattr(DecoderTraining, "run", run)
    again = fit(examples, progress=lambda *r: seen.append(r), epochs=4, best_epoch=True)
    (first, second), total = runs, 2 * 4 * len(examples)
    assert len(first[0]) == 1
    assert second == ([], first[2], first[2])
    assert seen[-1] == (total, total, "training")
    assert [done for done, *_ in seen] == sorted(done for done, *_ in seen)
    plain = fit(examples, epochs=first[2])
    for name, tensor in plain.state().tensors.items():
        np.testing.assert_array_equal(tensor, again.state().tensors[name])
    kept = fit(examples, refit=False, epochs=4, best_epoch=True)
    assert len(runs) == 4
    assert any(
        (tensor != again.state().tensors[name]).any()
        for name, tensor in kept.state().tensors.items()
    )


def test_state_and_back_without_a_checkpoint(fit):
    adapter = fit([example(0), example(3, lacking=[7])], values=(3, 7, 9))
    features = embedding(example(2), 9)
    state = adapter.state()
    assert all(isinstance(array, np.ndarray) for array in state.tensors.values())
    copy = SamDecoderAdapter(config(), weights=None).restore(state)
    np.testing.assert_allclose(
        copy.predict(features, PLACE), adapter.predict(features, PLACE), atol=1e-5
    )
    again = copy.state().tensors
    assert {n: t.tobytes() for n, t in again.items()} == {
        n: t.tobytes() for n, t in state.tensors.items()
    }


def test_update_goes_on_and_takes_labels_that_come_and_go(fit):
    adapter = fit([example(0), example(3)])
    before = adapter.state().tensors
    seen = []
    examples = [example(0, lacking=[3]), example(4, lacking=[3])]
    maps = [embedding(one, k) for k, one in enumerate(examples)]
    adapter.update(
        examples, maps, [7, 9], before=[3, 7], progress=lambda *report: seen.append(report)
    )
    assert seen == [(k, 20, "training") for k in range(1, 21)]
    after = adapter.state().tensors
    assert after["present"].tolist() == [[True, False], [True, False]]
    name = "decoder.decoder.mask_tokens.weight"
    moved = np.abs(after[name] - before[name]).max()
    assert 0 < moved < 0.1  # a warm start
    probability = adapter.predict(maps[0], PLACE)
    assert probability.shape == (3, *SHAPE)
    assert not probability[2].any()


def test_same_seed_same_bytes_and_no_traces(fit):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    states = [fit([example(0), example(3), example(5)]).state().tensors for _ in range(2)]
    assert torch.equal(torch.get_rng_state(), before)
    assert {n: t.tobytes() for n, t in states[0].items()} == {
        n: t.tobytes() for n, t in states[1].items()
    }


def test_copies_are_learned_from_and_give_no_target_embeddings(fit, tiny_sam):
    examples = [example(0), example(3)]
    copies = [replace(one, labels=one.labels[:, ::-1].copy(), origin=one) for one in examples]
    adapter = build_adapter(config(), "cpu", tiny_sam)
    plain = fit(examples)
    maps = [embedding(one, k) for k, one in enumerate([*examples, *copies])]
    adapter.fit([*examples, *copies], maps, [3, 7])
    np.testing.assert_allclose(
        adapter.state().tensors["targets"], plain.state().tensors["targets"], rtol=1e-5, atol=1e-6
    )
    name = "decoder.decoder.mask_tokens.weight"
    assert not np.array_equal(adapter.state().tensors[name], plain.state().tensors[name])


def test_cancelled_training_leaves_the_adapter_unfitted(fit, tiny_sam):
    def stop(done, total, what):
        raise Cancelled

    adapter = build_adapter(config(), "cpu", tiny_sam)
    with pytest.raises(Cancelled):
        adapter.fit([example(0)], [embedding(example(0))], [3, 7], stop)
    with pytest.raises(Exception, match="The adapter is not fitted yet"):
        adapter.predict(embedding(example(0)), PLACE)
    with pytest.raises(Exception, match="The adapter is not fitted yet"):
        adapter.state()


def test_channels_that_were_encoded_one_by_one_are_averaged(fit):
    adapter = fit([example(0), example(3)])
    features = embedding(example(2), 9, groups=2)
    parts = features.data.astype(np.float32).reshape(2, CHANNELS, GRID, GRID)
    mean = FeatureMap(parts.mean(0), SHAPE, EXTENT)
    np.testing.assert_allclose(
        adapter.predict(features, PLACE), adapter.predict(mean, PLACE), atol=1e-5
    )


def test_maps_without_their_padding_are_refused(fit):
    adapter = fit([example(0), example(3)])
    with pytest.raises(InputError, match=r"be whole embeddings of SAM, \(32, 8, 8\); got shape"):
        adapter.predict(embedding(example(2)).without_padding(), PLACE)


def test_other_backbones_are_refused():
    with pytest.raises(InputError) as error:
        build_adapter(SegmenterConfig(adapter="sam-decoder"))
    assert str(error.value) == (
        "backbone must be one of sam-vit-b, sam-vit-l, sam-vit-h, medsam with adapter "
        "sam-decoder; got embedded. Choose one of these, or another adapter."
    )


def test_outputs_may_start_as_masks_of_sam(decoder, tiny_sam):
    """Foreground is SAM's first mask, background the opposite of its second."""
    checkpoint = read_sam("sam-vit-b", tiny_sam)
    image, vectors = torch.randn(CHANNELS, GRID, GRID), torch.randn(3, 2, CHANNELS)
    with torch.no_grad():
        masks = torch.load(tiny_sam, weights_only=True)["mask_decoder.mask_tokens.weight"]
        decoder.decoder.mask_tokens.weight.copy_(masks[:2])
        expected = decoder(image, vectors)
        decoder.start_as_masks(checkpoint)
        found = decoder(image, vectors)
    torch.testing.assert_close(found[:, 0], expected[:, 0])
    torch.testing.assert_close(found[:, 1], -expected[:, 1])


@pytest.mark.parametrize("start", ["he", "scratch"])
def test_what_starts_at_random(start, tiny_sam):
    """He: the tokens alone; scratch: all that is trained, but not how places are encoded."""
    adapter = build_adapter(config(start=start), "cpu", tiny_sam)
    state = torch.load(tiny_sam, weights_only=True)
    network = adapter._from_sam()
    of_sam = {
        name
        for name, tensor in network.decoder.state_dict().items()
        if torch.equal(tensor, state[f"mask_decoder.{name}"][: len(tensor)])
    }
    names = set(network.decoder.state_dict())
    if start == "he":
        assert names - of_sam == {"mask_tokens.weight"}
    else:
        assert "transformer.layers.0.mlp.lin1.weight" not in of_sam
        assert "output_hypernetworks_mlps.1.layers.0.weight" not in of_sam
    matrix = "positional_encoding_gaussian_matrix"
    torch.testing.assert_close(
        network.position.state_dict()[matrix], state[f"prompt_encoder.pe_layer.{matrix}"]
    )


def test_paper_3_to_the_letter(tiny_sam, monkeypatch):
    """All embeddings prompt, nothing is held out, an iteration sees every slice once."""
    published = SegmenterConfig(backbone="sam-vit-b", adapter="sam-decoder", preset="published")
    adapter = build_adapter(published, "cpu", tiny_sam)
    examples = [example(k, lacking=[7] if k == 4 else []) for k in range(5)]
    copies = [replace(one, labels=one.labels[:, ::-1].copy(), origin=one) for one in examples]
    maps = [embedding(one, k) for k, one in enumerate([*examples, *copies])]
    seen, prompted, sizes = [], [], set()
    forward = FewShotDecoder.forward

    def watched(self, image, prompts):
        prompted.extend(tuple(map(tuple, one.tolist())) for one in prompts)
        return forward(self, image, prompts)

    def told(logits, fractions, known, dice):
        sizes.add((*logits.shape[-2:], *fractions.shape[-2:], dice))
        return true_loss(logits, fractions, known, dice)

    true_loss = decoder_training.decoder_loss
    monkeypatch.setattr(FewShotDecoder, "forward", watched)
    monkeypatch.setattr(decoder_training, "decoder_loss", told)
    adapter.fit([*examples, *copies], maps, [3, 7], lambda *report: seen.append(report))
    assert seen[-1] == (250, 250, "training")
    assert len(prompted) == 2 * 250  # each label by all its slices, whatever slice is learned
    first, second = (tuple(map(tuple, adapter._embeddings.of_label(k).tolist())) for k in range(2))
    assert (len(first), len(second)) == (5, 4)
    assert set(prompted) == {first, second}
    side = 16 * GRID  # 1,024 for an official SAM
    assert sizes == {(side, side, side, side, 0.0)}
    hard = TargetEmbeddings.of(examples, maps[:5], [3, 7], nearest_cells)
    np.testing.assert_allclose(adapter.state().tensors["targets"], hard.vectors, atol=1e-6)


def test_masks_of_the_size_of_the_input_of_sam(fit):
    """The two channels are resized first, then brought to pixels."""
    fine = fit([example(0), example(3)], epochs=1, mask_scale=16)
    features = embedding(example(2), 9)
    found = fine.predict(features, PLACE)
    image = torch.from_numpy(features.data.astype(np.float32))
    with torch.no_grad():
        vectors = torch.from_numpy(fine._embeddings.of_label(0))
        two = fine._network(image, vectors[None])
    whole = torch.nn.functional.interpolate(two, (128, 128), mode="bilinear")[0]
    margin = (whole[0] - whole[1]).numpy()
    centres = [(np.arange(n) + 0.5) * 128 / 40 - 0.5 for n in SHAPE]
    from scipy.ndimage import map_coordinates

    expected = map_coordinates(margin, np.meshgrid(*centres, indexing="ij"), order=1)
    odds = np.log(found[1] / found[0])
    np.testing.assert_allclose(odds, expected, atol=2e-3)


def test_the_published_preset_differs_from_ours():
    ours = config().sam_decoder
    published = SegmenterConfig(preset="published").sam_decoder
    assert (ours.start, ours.prompts, ours.target_masks) == ("sam", "drawn", "coverage")
    assert (ours.mask_scale, ours.iteration, ours.best_epoch) == (4, "copies", False)
    assert (published.start, published.prompts, published.target_masks) == ("he", "all", "nearest")
    assert (published.mask_scale, published.iteration) == (16, "slices")
    assert (published.best_epoch, published.dice_loss, published.flips) == (False, 0.0, True)
