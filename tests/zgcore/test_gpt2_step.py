"""One step of GPT-2 against the library's."""

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from zgcore.deterministic import deterministic_
from zgcore.gpt2_step import Gpt2Step
from zgcore.language import _to_cache


def gpt2(**settings: object) -> GPT2LMHeadModel:
    config = GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=8, bos_token_id=0, eos_token_id=0, **settings)
    return deterministic_(GPT2LMHeadModel(config), "gpt2.", 0.3).double().eval().requires_grad_(False)


@pytest.mark.parametrize("vocabulary", [5, 64, 201])
@pytest.mark.parametrize("activation", ["gelu_new", "relu"])
def test_equals_the_library(vocabulary, activation):
    """Logits, and their gradient in the context; the vocabulary need not divide into equal pieces."""
    model = gpt2(vocab_size=vocabulary, activation_function=activation)
    generator = torch.Generator().manual_seed(0)
    context = torch.randn(4, 3, 2, 5, 8, generator=generator, dtype=torch.float64).requires_grad_()
    tokens = torch.tensor([[1], [4], [2]])
    ours = Gpt2Step(model)(tokens, context)
    theirs = model(input_ids=tokens, past_key_values=_to_cache(context), use_cache=True).logits[:, -1]
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=1e-12)
    slope = torch.randn(ours.shape, generator=generator, dtype=torch.float64)
    (found,), (expected,) = (torch.autograd.grad(logits, context, slope) for logits in (ours, theirs))
    torch.testing.assert_close(found, expected, atol=1e-12, rtol=1e-12)


def test_what_it_fits():
    assert Gpt2Step.fits(gpt2())
    assert not Gpt2Step.fits(gpt2().train())
    assert not Gpt2Step.fits(gpt2(scale_attn_by_inverse_layer_idx=True))
