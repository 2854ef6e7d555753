"""A causal language model whose memory of the text can be shifted by a gradient.

The context is the keys and values of the tokens read so far; ZeroCap adds a delta to it and asks what comes next.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from transformers import DynamicCache

from zgcore.errors import ConfigError
from zgcore.gpt2_step import Gpt2Step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

_FORBIDDEN = re.compile(r"0|[1-9][0-9]{0,4}|[(,)!:\n]")  # whole numbers below 100,000, and ( , ) ! : newline


def decode(tokenizer: Any, tokens: Sequence[int]) -> str:
    """Text of tokens as they stand, without clean-up of spaces."""
    return tokenizer.decode(tokens, clean_up_tokenization_spaces=False)


@lru_cache(maxsize=2)
def decode_each(tokenizer: Any, count: int) -> tuple[str, ...]:
    """What each of the first `count` tokens decodes to on its own."""
    return tuple(decode(tokenizer, [token]) for token in range(count))


def forbidden_tokens(tokenizer: Any) -> list[int]:
    """Ids of tokens that are a whole number below 100,000 (no leading zeros), or one of `( , ) ! :` and newline."""
    texts = decode_each(tokenizer, len(tokenizer))
    return [token for token, text in enumerate(texts) if _FORBIDDEN.fullmatch(text)]


@dataclass(frozen=True)
class Reading:
    """What a model knows after reading r rows of t tokens.

    logits: (r, vocabulary) float32, of the next token.
    context: (2 * layers, r, heads, t, head width); keys and values of layer 0, then of layer 1, ...
    """

    logits: Tensor
    context: Tensor

    def rows(self, index: Tensor) -> Reading:
        """The reading with rows picked (and repeated) by index."""
        return Reading(self.logits[index], self.context[:, index])


class ContextModel:
    """A Hugging Face causal language model (GPT-2 and Llama-style) read through its keys and values.

    model: in eval mode; its weights need no gradient. tokenizer: its tokenizer.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: Any) -> None:
        self.model = model.requires_grad_(False).eval()
        self._step = Gpt2Step(model) if Gpt2Step.fits(model) else self._library_step
        self.tokenizer = tokenizer
        self.vocabulary = int(model.get_output_embeddings().weight.shape[0])
        self.bos = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else model.config.bos_token_id
        if self.bos is None:
            raise ConfigError("the language model's tokenizer has no beginning-of-sequence token; set bos_token")

    @property
    def device(self) -> torch.device:
        return self.model.get_output_embeddings().weight.device

    @property
    def token_texts(self) -> tuple[str, ...]:
        """What each token of the vocabulary decodes to on its own."""
        return decode_each(self.tokenizer, self.vocabulary)

    def prompt_ids(self, prompt: str) -> list[int]:
        """Beginning of sequence, then the prompt's tokens. ConfigError if the vocabulary cannot spell the prompt."""
        ids = self.tokenizer.encode(prompt, add_special_tokens=False)
        if not ids or self.tokenizer.unk_token_id in ids:
            raise ConfigError(f"the language model's vocabulary cannot spell the prompt {prompt!r}")
        return [self.bos, *ids]

    def token_id(self, text: str) -> int:
        """The one token that spells `text`. ConfigError if there is none."""
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        if len(ids) != 1 or ids[0] == self.tokenizer.unk_token_id:
            raise ConfigError(f"the language model has no single token for {text!r}")
        return int(ids[0])

    def text(self, tokens: Sequence[int]) -> str:
        """Text of tokens with the beginning of sequence left out."""
        return decode(self.tokenizer, tokens).replace(decode(self.tokenizer, [self.bos]), "")

    @torch.no_grad()
    def read(self, tokens: Tensor, before: Tensor | None = None) -> Reading:
        """Read (r, t) tokens, after a context if one is given: (2 * layers, r, heads, t', head width)."""
        cache = DynamicCache() if before is None else _to_cache(before)
        output = self.model(input_ids=tokens, past_key_values=cache, use_cache=True, logits_to_keep=1)
        layers = output.past_key_values.layers
        context = torch.stack([tensor for layer in layers for tensor in (layer.keys, layer.values)])
        return Reading(output.logits[:, -1].float(), context)

    def next_logits(self, tokens: Tensor, context: Tensor) -> Tensor:
        """(r, vocabulary) float32 logits after the last token (r, 1), differentiable in the context."""
        return self._step(tokens, context).float()

    def _library_step(self, tokens: Tensor, context: Tensor) -> Tensor:
        """The reference path, and that of models other than GPT-2."""
        output = self.model(input_ids=tokens, past_key_values=_to_cache(context), use_cache=True)
        logits: Tensor = output.logits[:, -1]
        return logits


def _to_cache(context: Tensor) -> DynamicCache:
    tensors = context.unbind(0)
    return DynamicCache(list(zip(tensors[::2], tensors[1::2], strict=True)))
