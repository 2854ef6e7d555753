"""The published architectures at full size: the real checkpoints' names, shapes and counts, and one pass."""

import json
import os
from pathlib import Path

import numpy as np
import open_clip
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import GPT2Config, GPT2LMHeadModel

from tests.golden import DATA
from zgcore.config import ClipConfig, DinoConfig, ZeroCapConfig
from zgcore.models import clip_architecture, load_clip, load_dino, load_language_model
from zgcore.presets import PRESETS
from zgcore.weights import WeightSource

pytestmark = pytest.mark.usefixtures("all_cores")
RANDOM = WeightSource.random(tokenizer=DATA / "gpt2_tokenizer.json")
REAL = os.environ.get("ZEROGUIDE_REAL_WEIGHTS", "")


def shapes(module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def count(module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def holds(found, expected) -> bool:
    """Whether `found` has every name of `expected`, with its shape."""
    return {name: found.get(name) for name in expected} == expected


# As the published files list them.
DINO_TENSORS = {
    "cls_token": (1, 1, 384),
    "pos_embed": (1, 785, 384),
    "patch_embed.proj.weight": (384, 3, 8, 8),
    "blocks.0.attn.qkv.weight": (1152, 384),
    "blocks.0.mlp.fc1.weight": (1536, 384),
    "blocks.11.attn.qkv.bias": (1152,),
    "blocks.11.mlp.fc2.weight": (384, 1536),
    "norm.weight": (384,),
}
CLIP_TENSORS = {
    "logit_scale": (),
    "text_projection": (768, 768),
    "positional_embedding": (77, 768),
    "token_embedding.weight": (49408, 768),
    "transformer.resblocks.11.attn.in_proj_weight": (2304, 768),
    "ln_final.weight": (768,),
    "visual.class_embedding": (1024,),
    "visual.positional_embedding": (577, 1024),
    "visual.proj": (1024, 768),
    "visual.conv1.weight": (1024, 3, 14, 14),
    "visual.ln_pre.weight": (1024,),
    "visual.transformer.resblocks.23.attn.in_proj_weight": (3072, 1024),
    "visual.transformer.resblocks.23.attn.out_proj.weight": (1024, 1024),
    "visual.transformer.resblocks.23.mlp.c_fc.weight": (4096, 1024),
    "visual.transformer.resblocks.23.mlp.c_proj.weight": (1024, 4096),
    "visual.ln_post.weight": (1024,),
}
GPT2_TENSORS = {
    "transformer.wte.weight": (50257, 1024),
    "transformer.wpe.weight": (1024, 1024),
    "transformer.h.0.ln_1.weight": (1024,),
    "transformer.h.23.attn.c_attn.weight": (1024, 3072),
    "transformer.h.23.attn.c_proj.weight": (1024, 1024),
    "transformer.h.23.mlp.c_fc.weight": (1024, 4096),
    "transformer.h.23.mlp.c_proj.bias": (1024,),
    "transformer.ln_f.bias": (1024,),
    "lm_head.weight": (50257, 1024),
}


def test_dino_vit_s8():
    model = load_dino(DinoConfig(), RANDOM)
    with torch.device("meta"):
        published = timm.create_model("vit_small_patch8_224.dino")
    assert shapes(model) == shapes(published)
    assert holds(shapes(model), DINO_TENSORS)
    assert len(shapes(model)) == 4 + 12 * 12 + 2
    assert count(model) == 21_670_272
    model.set_input_size(img_size=64)
    assert model.forward_features(torch.ones(1, 3, 64, 64)).shape == (1, 1 + 8 * 8, 384)


def test_clip_vit_l14_336():
    model, tokenizer = load_clip(ClipConfig(), RANDOM)
    with torch.device("meta"):
        published = open_clip.create_model("ViT-L-14-336-quickgelu", device="meta")
    assert shapes(model) == shapes(published)
    assert holds(shapes(model), CLIP_TENSORS)
    assert count(model.visual) == 304_293_888
    assert count(model) == 427_944_193
    assert type(model.visual.transformer.resblocks[0].mlp.gelu).__name__ == "QuickGELU"
    assert model.encode_text(tokenizer(["a photo of a cat"])).shape == (1, 768)
    grid = model.visual.positional_embedding[: 1 + 4 * 4]  # 4 x 4 patches in place of 24 x 24
    model.visual.positional_embedding = torch.nn.Parameter(grid, requires_grad=False)
    embedding = model.encode_image(torch.ones(1, 3, 56, 56))
    assert embedding.shape == (1, 768)
    assert embedding.isfinite().all()


def test_gpt2_medium():
    model, tokenizer = load_language_model(ZeroCapConfig(), RANDOM)
    with torch.device("meta"):
        published = GPT2LMHeadModel(GPT2Config(n_layer=24, n_embd=1024, n_head=16))
    assert shapes(model) == shapes(published)
    assert holds(shapes(model), GPT2_TENSORS)
    assert count(model) == 354_823_168
    tokens = tokenizer("Image of a", return_tensors="pt").input_ids
    logits = model(tokens).logits
    assert logits.shape == (1, 3, 50257)
    assert logits.isfinite().all()


def test_clip_vit_b16_to_a_file_and_back(tmp_path):
    config = PRESETS["base"].clip
    written, tokenizer = load_clip(config, WeightSource.random())
    assert count(written) == 149_620_737
    save_file({name: tensor.half() for name, tensor in written.state_dict().items()}, tmp_path / "clip.safetensors")
    read, _ = load_clip(config, WeightSource.from_folder(tmp_path))
    for (name, before), after in zip(written.state_dict().items(), read.state_dict().values(), strict=True):
        assert torch.equal(before.half().float(), after), name
    assert read.encode_text(tokenizer(["a dog"])).isfinite().all()


def test_distilgpt2_is_the_size_it_is_published_at():
    with torch.device("meta"):
        model = GPT2LMHeadModel(GPT2Config(n_layer=6, n_embd=768, n_head=12))
    assert count(model) == 81_912_576
    assert clip_architecture(PRESETS["base"].clip)["quick_gelu"] is True


# Against published outputs; ZEROGUIDE_REAL_WEIGHTS names a folder made by `zeroguide weights pull`.
needs_weights = pytest.mark.skipif(not REAL, reason="ZEROGUIDE_REAL_WEIGHTS names no folder of real weights")


def published(name: str):
    return json.loads((DATA / "published_values.json").read_text())[name]


@needs_weights
def test_real_dino_sees_what_is_published():
    """Needs, beside the weights, the picture that the numbers were published for: 000000039769.png in the folder."""
    picture = Path(REAL) / "000000039769.png"
    if not picture.is_file():
        pytest.skip(f"{picture} is not there")
    expected = published("dino_vits8_480")
    image = Image.open(picture).convert("RGB").resize((480, 480), Image.Resampling.BILINEAR)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 255  # (1, 3, 480, 480)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    model = load_dino(DinoConfig(), WeightSource.from_folder(Path(REAL)))
    model.set_input_size(img_size=480)
    found = model.forward_features((pixels - mean[:, None, None]) / std[:, None, None])
    assert list(found.shape) == expected["shape"]
    torch.testing.assert_close(found[0, :3, :3], torch.tensor(expected["first"]), atol=0.05, rtol=0.01)


@needs_weights
def test_real_language_model_continues_with_words():
    model, tokenizer = load_language_model(ZeroCapConfig(), WeightSource.from_folder(Path(REAL)))
    expected = published("gpt2_greedy")
    written = model.generate(torch.tensor([expected["input_ids"]]), max_length=20, do_sample=False)[0].tolist()
    if model.config.n_layer == 12:  # the numbers are those of the smallest GPT-2
        assert written == expected["output_ids"]
    assert tokenizer.decode(written).startswith("The dog")
    likely = model(tokenizer("The capital of France is", return_tensors="pt").input_ids).logits[0, -1].topk(50).indices
    assert tokenizer.encode(" Paris")[0] in likely


@needs_weights
def test_real_clip_tells_a_cat_from_a_dog_in_words():
    width = json.loads((Path(REAL) / "preset.json").read_text())["clip"]["model"]
    model, tokenizer = load_clip(ClipConfig(model=width), WeightSource.from_folder(Path(REAL)))
    cat, kitten, bridge = torch.nn.functional.normalize(
        model.encode_text(tokenizer(["a photo of a cat", "a photo of a kitten", "a photo of a bridge"])), dim=-1
    )
    assert cat @ kitten > cat @ bridge
    assert model.logit_scale.exp().item() == pytest.approx(100, rel=0.01)  # OpenAI's, at its ceiling
