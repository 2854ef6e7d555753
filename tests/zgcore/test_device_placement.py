"""Every stage with its models on a GPU that is pretended: tensors must meet on one device, and results be the CPU's."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests import golden
from tests.zgcore.pretended_gpu import CPU, GPU, PretendedGpu, place
from zgcore import ZeroGuidance, load_image, untrained
from zgcore.build import assemble, load_models, pick_device, vision_format
from zgcore.clip_text import ClipText
from zgcore.config import DinoConfig
from zgcore.dino import DinoKeys
from zgcore.language import ContextModel
from zgcore.masked_clip import MaskedClip
from zgcore.mini.load import load_mini
from zgcore.presets import get_preset
from zgcore.samples import sample_paths
from zgcore.segmentation import Segmentation
from zgcore.ward import merge_tree

TEXTS = ["Image of a cat", "Image of a cat.", "Image of a catalogue", "", "two dogs", "Image of a"]


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    return load_image(next(path for path in sample_paths() if path.stem == "bus_tiny"))


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_what_a_gpu_refuses_is_refused():
    with PretendedGpu():
        here, there = torch.ones(4, 3), torch.ones(4, 3, device="cuda")
        index = torch.tensor([0, 2])
        for misplaced in (
            lambda: here + there,
            lambda: torch.cat([there, here]),
            lambda: there @ here.T,
            lambda: there[index],
            lambda: there.index_select(0, index),
            lambda: F.linear(there, here),
        ):
            with pytest.raises(RuntimeError, match="several devices"):
                misplaced()
        with pytest.raises(TypeError, match="to numpy"):
            there.numpy()
        with pytest.raises(RuntimeError, match="dtype"):
            there.bfloat16() @ there.T
        assert (there * torch.tensor(2.0)).device == GPU  # a number on the CPU may meet anything
        assert there[index.to("cuda")].cpu().numpy().tolist() == [[1, 1, 1], [1, 1, 1]]


def test_moving_leaves_what_was_moved_where_it_is():
    with PretendedGpu() as gpu:
        here = torch.zeros(2)
        there = here.to("cuda")
        there += 1
        assert (here.device, there.device, there.cpu().device) == (CPU, GPU, CPU)
        assert here.tolist() == [0, 0]
        assert (there.tolist(), bool(there.all())) == ([1, 1], True)
        layer = torch.nn.Linear(2, 2).to("cuda", torch.bfloat16)
        assert {parameter.device for parameter in layer.parameters()} == {GPU}
    assert gpu.waits.total() == 6  # to the GPU: here and two parameters; to the CPU: cpu, tolist, bool


def test_a_tower_with_a_misplaced_index_is_caught(monkeypatch):
    """The check can fail: positions left on the CPU, as a forgotten `device=` leaves them."""
    embed = ClipText._embed
    monkeypatch.setattr(ClipText, "_embed", lambda self, tokens, positions: embed(self, tokens, positions.cpu()))
    with PretendedGpu(), pytest.raises(RuntimeError, match="several devices"):
        ClipText(untrained.clip()[0].to("cuda"), golden.text_tower().tokenizer).encode(["cat"])


@pytest.mark.parametrize(("capability", "expected"), [((9, 0), torch.bfloat16), ((7, 5), torch.float16)])
def test_half_precision_is_what_the_gpu_computes_in(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert vision_format(torch.device("cuda", 1)) == expected
    assert vision_format(CPU) == torch.float32


def test_dino_keys_at_stride_2():
    pixels, config = random(1, 3, 48, 64), DinoConfig(model="untrained", stride=2)
    expected = DinoKeys(untrained.dino().bfloat16(), config).keys(pixels)
    with PretendedGpu() as gpu, torch.inference_mode():
        found = DinoKeys(untrained.dino().to("cuda", torch.bfloat16), config).keys(pixels)
    assert (found.shape, found.dtype, place(found)) == ((1, 21, 29, 48), torch.float32, GPU)
    torch.testing.assert_close(found.cpu(), expected)
    assert {kind for kind, _ in gpu.waits} == {"to the GPU"}


def test_mini_features(photo):
    with PretendedGpu():
        features = load_mini().features
        features.module.to("cuda", torch.bfloat16)
        found = features(photo)
    assert (found.dtype, place(found)) == (torch.float32, GPU)
    assert bool(found.isfinite().all())


@pytest.mark.parametrize("saliency", ["output", "weights"])
def test_masked_clip(saliency):
    masks = torch.zeros(3, 112, 112)
    masks[0, :40], masks[1, 40:, :60], masks[2, 40:, 60:] = 1, 1, 1
    pixels = random(1, 3, 112, 112)
    tower = untrained.clip()[0].visual.requires_grad_(False).bfloat16()
    expected = MaskedClip(tower, saliency=saliency).encode(pixels, masks)
    with PretendedGpu() as gpu:
        encoder = MaskedClip(tower.to("cuda"), saliency=saliency)
        gpu.waits.clear()
        prepared = encoder.prepare_pixels(pixels)
        found = encoder.encode_prepared(prepared, masks)
        none = encoder.encode_prepared(prepared, masks[:0])
    assert (place(prepared), place(found), found.dtype, place(none)) == (GPU, GPU, torch.float32, GPU)
    assert bool((F.cosine_similarity(found.cpu(), expected) > 0.999).all())  # bfloat16 rounds to 3 digits
    assert {kind for kind, _ in gpu.waits} == {"to the GPU"}


def test_text_tower():
    clip, tokenizer = untrained.clip()
    expected = ClipText(clip, tokenizer).encode(TEXTS)
    with PretendedGpu() as gpu:
        moved = ClipText(clip.to("cuda"), tokenizer)
        gpu.waits.clear()
        found, plain = moved.encode(TEXTS), moved.encode_plain(TEXTS)
    assert (place(found), place(plain)) == (GPU, GPU)
    torch.testing.assert_close(found.cpu(), expected, atol=1e-5, rtol=1e-5)
    assert {kind for kind, _ in gpu.waits} == {"to the GPU"}  # between uploads nothing waits for a result


def test_language_model_and_its_gradient():
    def slope(lm: ContextModel) -> tuple[Tensor, Tensor]:
        reading = lm.read(torch.tensor([[0, 4, 5], [0, 6, 7]], device=lm.device))
        delta = torch.zeros_like(reading.context).requires_grad_(True)
        logits = lm.next_logits(torch.tensor([[8], [9]], device=lm.device), reading.context + delta)
        return logits, torch.autograd.grad(logits.square().sum(), delta)[0]

    model, tokenizer = untrained.language_model()
    expected = slope(ContextModel(model, tokenizer))
    with PretendedGpu():
        found = slope(ContextModel(model.to("cuda"), tokenizer))
    for one, other in zip(found, expected, strict=True):
        assert place(one) == GPU
        torch.testing.assert_close(one.cpu(), other)


def test_ward():
    features = F.normalize(random(300, 16).repeat(2, 1)[:500], dim=-1)  # with duplicates
    expected = merge_tree(features)
    with PretendedGpu():
        np.testing.assert_allclose(merge_tree(features.to("cuda")), expected, rtol=1e-9)


def run(photo: np.ndarray, **settings: object) -> tuple[ZeroGuidance, Segmentation, PretendedGpu]:
    config = get_preset("untrained").override(**settings)
    with PretendedGpu() as gpu:
        device = pick_device("cuda")
        model = assemble(load_models(config, "untrained"), config, device, vision=torch.bfloat16)
        gpu.waits.clear()
        return model, model(photo), gpu


@pytest.mark.parametrize(
    "settings", [{}, {"clip__encoder": "crop", "labeler": "retrieval"}, {"zerocap__text_format": "bfloat16"}]
)
def test_whole_images(photo, settings, monkeypatch):
    autocast = torch.autocast
    monkeypatch.setattr(torch, "autocast", lambda _, *args, **kwargs: autocast("cpu", *args, **kwargs))
    model, result, gpu = run(photo, dino__size=64, tree__leaves=6, tree__similarity=1.0, **settings)
    with gpu:
        assert model.device == GPU
        assert model.precision["embedding"] == torch.bfloat16
        assert next(model.labeller.clip_text.tower.parameters()).dtype == torch.float32
        assert model.precision["text"] == getattr(torch, settings.get("zerocap__text_format", "float32"))
    assert len(result) >= 2
    assert all(result.labels)
    assert np.isfinite(result.embeddings).all()
    assert {where.split(":")[0] for _, where in gpu.waits} >= {"ward.py", "forest.py", "clip_text.py", "describing.py"}
