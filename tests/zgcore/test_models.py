"""Small architectures of the three libraries through a folder of weights: what loads, and what is said otherwise."""

import json

import open_clip
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from tests.golden import DATA, gpt2_tokenizer
from zgcore.config import ClipConfig, DinoConfig, ZeroCapConfig
from zgcore.deterministic import deterministic_
from zgcore.errors import ConfigError, WeightsError
from zgcore.models import clip_architecture, load_clip, load_dino, load_language_model
from zgcore.weights import WeightSource

DINO = DinoConfig(model="test_vit.r160_in1k")
CLIP = ClipConfig(model="tiny-quickgelu", pretrained="")
TINY_CLIP = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
GPT2 = GPT2Config(n_layer=2, n_embd=16, n_head=2, n_positions=32)
LLAMA = LlamaConfig(
    num_hidden_layers=2,
    hidden_size=16,
    intermediate_size=32,
    num_attention_heads=2,
    num_key_value_heads=1,
    vocab_size=50257,
    max_position_embeddings=32,
    tie_word_embeddings=False,
)


@pytest.fixture(scope="module", autouse=True)
def tiny_clip(tmp_path_factory):
    """Make the small CLIP known to open_clip by name, like those it ships."""
    file = tmp_path_factory.mktemp("architectures") / "tiny-quickgelu.json"
    file.write_text(json.dumps(TINY_CLIP))
    open_clip.add_model_config(file)


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def source(folder) -> WeightSource:
    return WeightSource.from_folder(folder, "base")


def save_language_model(folder, model) -> None:
    model.save_pretrained(folder / "language_model")
    gpt2_tokenizer().save_pretrained(folder / "language_model")


def vit():
    return timm.create_model("test_vit", num_classes=0)


def test_dino_from_a_folder(folder):
    written = vit()
    save_file(written.state_dict(), folder / "dino.safetensors")
    read = load_dino(DINO, source(folder))
    image = torch.rand(1, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    assert torch.equal(read(image), written.eval()(image))
    assert not read.training
    assert not any(parameter.requires_grad for parameter in read.parameters())


def test_a_classifier_in_dinos_file_is_left_out(folder):
    save_file(timm.create_model("test_vit", num_classes=10).state_dict(), folder / "dino.safetensors")
    assert not [name for name in load_dino(DINO, source(folder)).state_dict() if name.startswith("head.")]


def test_clip_from_a_folder_in_half_precision(folder):
    written = open_clip.CLIP(**TINY_CLIP).half()
    buffers = {
        "input_resolution": torch.tensor(32),
        "context_length": torch.tensor(77),
        "vocab_size": torch.tensor(49408),
    }
    save_file(written.state_dict() | buffers, folder / "clip.safetensors")
    read, tokenizer = load_clip(CLIP, source(folder))
    assert {parameter.dtype for parameter in read.parameters()} == {torch.float32}
    texts, image = tokenizer(["a photo of a cat", "x"]), torch.ones(1, 3, 32, 32)
    written = written.float().eval().requires_grad_(False)
    assert torch.equal(read.encode_text(texts), written.encode_text(texts))
    assert torch.equal(read.encode_image(image), written.encode_image(image))


@pytest.mark.parametrize("bare", [False, True])
def test_gpt2_from_a_folder(folder, bare):
    written = deterministic_(GPT2LMHeadModel(GPT2), scale=0.2).eval()
    save_language_model(folder, written)
    file = folder / "language_model" / "model.safetensors"
    tensors = load_file(file)
    if bare:  # as the published GPT-2 is: without the prefix, with the causal masks
        tensors = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
        tensors |= {f"h.{n}.attn.bias": torch.ones(1, 1, 32, 32) for n in range(2)}
    else:  # as distilgpt2 is: with the prefix, the masks, and the tied head once more
        tensors |= {
            "transformer.h.0.attn.masked_bias": torch.zeros(()),
            "lm_head.weight": tensors["transformer.wte.weight"].clone(),
        }
    save_file(tensors, file)
    read, tokenizer = load_language_model(ZeroCapConfig(), source(folder))
    tokens = tokenizer("Image of a dog", return_tensors="pt").input_ids
    assert tokens.tolist() == [[5159, 286, 257, 3290]]
    assert tokenizer.bos_token_id == 50256
    assert torch.equal(read(tokens).logits, written(tokens).logits)
    assert read.get_output_embeddings().weight is read.get_input_embeddings().weight


def test_llama_in_shards_with_a_head_of_its_own(folder):
    written = deterministic_(LlamaForCausalLM(LLAMA), scale=0.2).eval()
    written.save_pretrained(folder / "language_model", max_shard_size="2MB")
    gpt2_tokenizer().save_pretrained(folder / "language_model")
    assert not (folder / "language_model" / "model.safetensors").exists()
    read, _ = load_language_model(ZeroCapConfig(), source(folder))
    tokens = torch.tensor([[5159, 286, 257]])
    assert torch.equal(read(tokens).logits, written(tokens).logits)
    next((folder / "language_model").glob("model-00002-of-*")).unlink()
    with pytest.raises(WeightsError, match="language_model is missing"):
        load_language_model(ZeroCapConfig(), source(folder))


@pytest.mark.parametrize("model", [GPT2LMHeadModel(GPT2), LlamaForCausalLM(LLAMA)], ids=["gpt2", "llama"])
def test_gradients_reach_past_keys_and_values(folder, model):
    save_language_model(folder, model)
    from zgcore.language import ContextModel

    reader = ContextModel(*load_language_model(ZeroCapConfig(), source(folder)))
    context = reader.read(torch.tensor([[5159, 286, 257]])).context.clone().requires_grad_()
    reader.next_logits(torch.tensor([[3290]]), context)[0, 7].backward()
    assert context.grad.abs().amax(dim=(1, 2, 3, 4)).min() > 0  # every layer's keys and values


def test_another_vision_tower_is_named_by_its_first_tensor(folder):
    other = open_clip.CLIP(**TINY_CLIP | {"vision_cfg": TINY_CLIP["vision_cfg"] | {"patch_size": 8}})
    save_file(other.state_dict(), folder / "clip.safetensors")
    with pytest.raises(WeightsError) as caught:
        load_clip(CLIP, source(folder))
    assert str(caught.value).startswith(
        "clip.safetensors: visual.positional_embedding is (17, 64), expected (5, 64): these are weights of another"
    )


def test_dino_of_another_depth(folder):
    save_file(timm.create_model("test_vit", num_classes=0, depth=7).state_dict(), folder / "dino.safetensors")
    with pytest.raises(WeightsError, match=r"^dino\.safetensors: blocks\.6\..* and 9 more are not expected"):
        load_dino(DINO, source(folder))
    save_file(timm.create_model("test_vit", num_classes=0, depth=5).state_dict(), folder / "dino.safetensors")
    with pytest.raises(WeightsError, match=r"^dino\.safetensors: blocks\.5\.norm1\.weight, .* and 9 more are missing"):
        load_dino(DINO, source(folder))


def test_language_model_that_is_not_what_its_settings_say(folder):
    save_language_model(folder, GPT2LMHeadModel(GPT2))
    GPT2Config(n_layer=2, n_embd=24, n_head=2, n_positions=32).save_pretrained(folder / "language_model")
    with pytest.raises(WeightsError) as caught:
        load_language_model(ZeroCapConfig(), source(folder))
    assert str(caught.value).startswith(
        "language_model/model.safetensors: transformer.wte.weight is (50257, 16), expected (50257, 24)"
    )


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", '{"model_type": "no-such-model"}', "language_model/config.json cannot be understood"),
        ("config.json", '{"model_type": "clip"}', "language_model/config.json: no causal language model"),
        ("config.json", "{", "language_model/config.json cannot be understood"),
        ("tokenizer.json", "{", "language_model/tokenizer.json cannot be understood"),
        ("model.safetensors", "{", "language_model/model.safetensors is cut short"),
    ],
)
def test_broken_files_of_a_language_model(folder, file, content, message):
    save_language_model(folder, GPT2LMHeadModel(GPT2))
    (folder / "language_model" / file).write_text(content)
    with pytest.raises(WeightsError) as caught:
        load_language_model(ZeroCapConfig(), source(folder))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_code_that_comes_with_a_model_is_not_run(folder):
    save_language_model(folder, GPT2LMHeadModel(GPT2))
    file = folder / "language_model" / "config.json"
    ran = folder / "ran"
    settings = json.loads(file.read_text()) | {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Mine"}}
    file.write_text(json.dumps(settings))
    (folder / "language_model" / "mine.py").write_text(f"open({str(ran)!r}, 'w')")
    with pytest.raises(WeightsError, match=r"config\.json cannot be understood"):
        load_language_model(ZeroCapConfig(), source(folder))
    assert not ran.exists()


def test_random_weights_repeat():
    first, second = (load_dino(DINO, WeightSource.random()) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    assert torch.equal(first.cls_token, deterministic_(vit(), "dino.", 0.02).cls_token)
    assert load_clip(CLIP, WeightSource.random())[0].logit_scale.exp().item() == pytest.approx(100)


@pytest.mark.parametrize(
    ("load", "config", "message"),
    [
        (load_dino, DinoConfig(model="vit_small_patch8_224.dyno"), "did you mean 'vit_small_patch8_224.dino'"),
        (load_dino, DinoConfig(model="hf-hub:someone/something"), "is no model of timm's"),
        (load_dino, DinoConfig(model="resnet18"), "is no plain vision transformer"),
        (load_clip, ClipConfig(model="ViT-L-14-338-quickgelu"), "did you mean 'ViT-L-14-336-quickgelu'"),
        (load_clip, ClipConfig(model="hf-hub:someone/something"), "is no architecture of open_clip's"),
        (load_clip, ClipConfig(model="local-dir:/tmp"), "is no architecture of open_clip's"),
        (load_clip, ClipConfig(model="roberta-ViT-B-32"), "is no plain CLIP"),
        (load_clip, ClipConfig(model="ViT-B-16-SigLIP"), "is no plain CLIP"),
        (load_clip, ClipConfig(model="ViT-L-14-336"), "use clip.model 'ViT-L-14-336-quickgelu'"),
        (load_language_model, ZeroCapConfig(model="someone/llama"), "known sizes are openai-community/gpt2,"),
        (load_language_model, ZeroCapConfig(), "needs the tokenizer.json of GPT-2"),
    ],
)
def test_a_model_that_cannot_be_is_a_wrong_setting(load, config, message):
    with pytest.raises(ConfigError) as caught:
        load(config, WeightSource.random())
    assert message in str(caught.value)


def test_open_clips_own_descriptions_stay_as_they_are():
    clip_architecture(ClipConfig())["embed_dim"] = 1
    assert clip_architecture(ClipConfig())["embed_dim"] == 768


def test_clips_tokenizer_needs_no_network():
    expected = json.loads((DATA / "published_values.json").read_text())["clip_tokenizer"]
    _, tokenizer = load_clip(CLIP, WeightSource.random())
    for text, tokens in expected.items():
        assert tokenizer([text])[0].tolist() == tokens + [0] * (77 - len(tokens))
