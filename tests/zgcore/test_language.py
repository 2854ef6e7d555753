"""The language model's context, the tokens it must not say, and its texts."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tests import golden
from zgcore import untrained
from zgcore.deterministic import deterministic_
from zgcore.errors import ConfigError
from zgcore.language import ContextModel, forbidden_tokens


def llama() -> LlamaForCausalLM:
    config = LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        vocab_size=50257,
        bos_token_id=50256,
    )
    return deterministic_(LlamaForCausalLM(config), "llama.", 0.2).eval()


def test_forbidden_tokens_of_gpt2_are_the_published_ones():
    published = {int(line) for line in (golden.DATA / "zerocap_forbidden_gpt2_ids.txt").read_text().split()}
    assert len(published) == 917
    assert set(forbidden_tokens(golden.gpt2_tokenizer())) == published


@pytest.mark.parametrize("model", [golden.language_model, llama])
def test_reading_on_equals_reading_at_once(model):
    lm = ContextModel(model(), golden.gpt2_tokenizer())
    tokens = torch.tensor([[50256, 5159, 286, 257], [50256, 3797, 11, 290]])
    at_once = lm.read(tokens)
    first = lm.read(tokens[:, :3])
    then = lm.read(tokens[:, 3:], first.context)
    assert torch.allclose(then.logits, at_once.logits, atol=1e-4)
    assert torch.allclose(then.context, at_once.context, atol=1e-4)
    assert torch.allclose(lm.next_logits(tokens[:, 3:], first.context), at_once.logits, atol=1e-4)
    assert torch.allclose(lm.model(tokens).logits[:, -1], at_once.logits, atol=1e-4)


@pytest.mark.parametrize("model", [golden.language_model, llama])
def test_logits_have_a_gradient_in_the_context(model):
    """Against a finite difference along a random direction."""
    lm = ContextModel(model().double(), golden.gpt2_tokenizer())
    context = lm.read(torch.tensor([[50256, 5159, 286]])).context.requires_grad_(True)
    last = torch.tensor([[257]])
    weights = torch.randn(lm.vocabulary, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad((lm.next_logits(last, context) * weights).sum(), context)
    direction = torch.randn(context.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    with torch.no_grad():
        ahead, behind = (
            (lm.next_logits(last, context + sign * 1e-3 * direction).double() * weights).sum() for sign in (1, -1)
        )
    assert float((gradient * direction).sum()) == pytest.approx(float(ahead - behind) / 2e-3, rel=1e-2, abs=1e-2)


def test_texts_leave_the_beginning_out():
    lm = ContextModel(golden.language_model(), golden.gpt2_tokenizer())
    assert lm.prompt_ids("Image of a") == [50256, 5159, 286, 257]
    assert lm.text([50256, 5159, 286, 257, 3797]) == "Image of a cat"
    assert lm.token_id(".") == 13


def test_whole_word_tokenizer():
    model, tokenizer = untrained.language_model()
    lm = ContextModel(model, tokenizer)
    ids = lm.prompt_ids("Image of a")
    assert lm.text([*ids, lm.token_id(" cat"), lm.token_id(".")]) == "Image of a cat."
    assert lm.text([lm.token_id(" cat")]) == " cat"
    with pytest.raises(ConfigError, match="cannot spell"):
        lm.prompt_ids("Bild von")
