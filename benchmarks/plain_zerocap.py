"""ZeroCap written down as it was published, with none of the savings: what the fast path is held to and timed against.

One segment at a time. Every candidate text is decoded, tokenised by open_clip's tokenizer, padded to the full context
length and run through open_clip's own text tower; the language model's context is recomputed at every token; nothing is
kept from one iteration, beam, step or segment to the next. From "Zero-guidance Segmentation Using Zero Segment Labels"
(ICCV 2023), section 3.3, and "ZeroCap" (CVPR 2022), section 3; shares no code with `zgcore.zerocap`.

Two rules are zeroguide's own, and the same here: a beam that has ended counts as one whole row where probabilities are
normalised over the beams of a segment, and `first_candidates` texts are scored at the first token.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from transformers import DynamicCache

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from zgcore.config import ZeroCapConfig

FORBIDDEN = re.compile(r"[0-9]|[1-9][0-9]{1,4}|\(|,|\)|!|:|\n")
TEXTS_AT_ONCE = 512
Context = list[tuple["Tensor", "Tensor"]]  # keys and values of each layer, (b, heads, t, head width)


@dataclass(frozen=True)
class PlainBeam:
    """tokens: ids after the prompt. total, score: sum and mean of log probabilities. ended: closed by the end token."""

    tokens: tuple[int, ...]
    total: float
    score: float
    ended: bool


@dataclass(frozen=True)
class PlainStep:
    """One token of the search. kept: the beams, best first. considered: score of each beam that was weighed."""

    kept: list[PlainBeam]
    considered: dict[tuple[int, ...], float]


class PlainZeroCap:
    """lm, lm_tokenizer: a causal language model. clip, clip_tokenizer: an open_clip model and its tokenizer.

    remember: keep the features of texts that were encoded, each still by the plain tower and padded. This departs from
    "nothing is kept" and is for comparing results, never for timing.
    """

    def __init__(
        self,
        lm: PreTrainedModel,
        lm_tokenizer: Any,
        clip: Any,
        clip_tokenizer: Any,
        config: ZeroCapConfig,
        *,
        remember: bool = False,
    ) -> None:
        self.lm, self.lm_tokenizer = lm, lm_tokenizer
        self.clip, self.clip_tokenizer = clip, clip_tokenizer
        self.config = config
        self.remembered: dict[str, Tensor] | None = {} if remember else None
        self.texts_encoded = 0
        self.prompt = [lm_tokenizer.bos_token_id, *lm_tokenizer.encode(config.prompt, add_special_tokens=False)]
        (self.end,) = lm_tokenizer.encode(config.end_token, add_special_tokens=False)
        forbidden = [token for token in range(len(lm_tokenizer)) if FORBIDDEN.fullmatch(self.decode([token]))]
        self.forbidden = torch.tensor(forbidden, dtype=torch.long)

    def describe(self, embedding: Tensor) -> list[PlainStep]:
        """The search for one (d,) segment embedding of any norm, token by token; the last step holds its texts."""
        unit = F.normalize(embedding.float(), dim=-1)
        beams = [PlainBeam((), 0.0, 0.0, False)]
        steps: list[PlainStep] = []
        while len(steps) < self.config.max_tokens and not all(beam.ended for beam in beams):
            live = [beam for beam in beams if not beam.ended]
            rows = torch.tensor([[*self.prompt, *beam.tokens] for beam in live])  # (b, t)
            log_p = self.log_probabilities(rows, unit, len(steps), len(beams) - len(live))
            steps.append(self.choose(beams, live, log_p))
            beams = steps[-1].kept
        return steps

    def text(self, beam: PlainBeam) -> str:
        """The beam's text without the prompt."""
        return self.decode_text(beam.tokens)

    def decode_text(self, tokens: tuple[int, ...] | list[int]) -> str:
        """Text of a beam, beginning of sequence left out; candidates keep it, as published."""
        return self.decode(tokens).replace(self.decode(self.prompt[:1]), "")

    def decode(self, tokens: tuple[int, ...] | list[int]) -> str:
        """Text of tokens as they stand."""
        return self.lm_tokenizer.decode(list(tokens), clean_up_tokenization_spaces=False)

    def choose(self, beams: list[PlainBeam], live: list[PlainBeam], log_p: Tensor) -> PlainStep:
        """The best beams after one more token, by mean log probability; ended ones compete with theirs."""
        width, vocabulary = self.config.beams, log_p.shape[1]
        length = len(live[0].tokens) + 1
        totals = torch.tensor([beam.total for beam in live], dtype=torch.float64)[:, None] + log_p.double()  # (b, v)
        values, flat = (totals / length).flatten().topk(min(4 * width, totals.numel()))
        options = [beam for beam in beams if beam.ended]
        for value, index in zip(values.tolist(), flat.tolist(), strict=True):
            row, token = divmod(index, vocabulary)
            total = float(totals[row, token])
            options.append(PlainBeam((*live[row].tokens, token), total, value, token == self.end))
        options.sort(key=lambda beam: -beam.score)
        return PlainStep(options[:width], {beam.tokens: beam.score for beam in options})

    def log_probabilities(self, rows: Tensor, unit: Tensor, step: int, ended: int) -> Tensor:
        """(b, vocabulary) log probabilities of the next token of each (b, t) beam, over all beams of the segment."""
        config = self.config
        context = self.context(rows[:, :-1])
        last = rows[:, -1:]
        untouched = self.next_logits(last, context, None).log_softmax(-1)
        prefixes = [self.decode_text(row) for row in rows.tolist()]
        count = config.first_candidates if config.first_candidates and step == 0 else config.candidates
        delta = [torch.zeros_like(tensor) for layer in context for tensor in layer]
        for _ in range(config.iterations):
            delta = [tensor.requires_grad_(True) for tensor in delta]
            log_p = self.next_logits(last, context, delta).log_softmax(-1)
            loss = config.clip_scale * self.clip_loss(log_p, prefixes, unit, count)
            loss = loss + config.fluency_scale * (log_p.exp() * (log_p - untouched)).sum()
            gradients = torch.autograd.grad(loss, delta)
            delta = [self.stepped(tensor, gradient) for tensor, gradient in zip(delta, gradients, strict=True)]
        with torch.no_grad():
            logits = self.adjusted(self.next_logits(last, context, delta), rows, step)
        fused = config.fusion * logits.log_softmax(-1) + (1 - config.fusion) * untouched  # (b, v)
        return fused - (fused.exp().sum() + ended).log()

    @torch.no_grad()
    def context(self, tokens: Tensor) -> Context:
        """Keys and values of the untouched model for (b, t) tokens."""
        layers = self.lm(input_ids=tokens, use_cache=True).past_key_values.layers
        return [(layer.keys, layer.values) for layer in layers]

    def next_logits(self, last: Tensor, context: Context, delta: list[Tensor] | None) -> Tensor:
        """(b, vocabulary) after the last token (b, 1), on context + delta."""
        shifted = context
        if delta is not None:
            pairs = zip(delta[::2], delta[1::2], strict=True)
            shifted = [(k + dk, v + dv) for (k, v), (dk, dv) in zip(context, pairs, strict=True)]
        return self.lm(input_ids=last, past_key_values=DynamicCache(shifted), use_cache=True).logits[:, -1].float()

    def stepped(self, delta: Tensor, gradient: Tensor) -> Tensor:
        """One gradient step on one layer's keys or values; the norm is each beam's own."""
        norm = gradient.flatten(1).norm(dim=1)[:, None, None, None] + 1e-15
        return (delta - self.config.step_size * gradient / norm**self.config.grad_norm_power).detach()

    def clip_loss(self, log_p: Tensor, prefixes: list[str], unit: Tensor, count: int) -> Tensor:
        """Cross-entropy of p with what CLIP would choose among its most probable tokens, summed over beams."""
        loss = log_p.new_zeros(())
        for row, prefix in zip(log_p, prefixes, strict=True):
            top = row.detach().topk(min(count, len(row))).indices  # (k,)
            cosines = self.encode([prefix + self.decode([token]) for token in top.tolist()]) @ unit  # (k,)
            loss = loss - ((cosines / self.config.temperature).softmax(-1) * row[top]).sum()
        return loss

    def encode(self, texts: list[str]) -> Tensor:
        """(n, d) unit vectors of texts."""
        if self.remembered is None:
            return self.encode_all(texts)
        if new := [text for text in dict.fromkeys(texts) if text not in self.remembered]:
            self.remembered.update(zip(new, self.encode_all(new), strict=True))
        return torch.stack([self.remembered[text] for text in texts])

    @torch.no_grad()
    def encode_all(self, texts: list[str]) -> Tensor:
        """(n, d) unit vectors: tokenised, padded to the context length, through open_clip's tower."""
        self.texts_encoded += len(texts)
        parts = [texts[start : start + TEXTS_AT_ONCE] for start in range(0, len(texts), TEXTS_AT_ONCE)]
        length = self.clip.positional_embedding.shape[0]
        return torch.cat([self.clip.encode_text(self.clip_tokenizer(part, length), normalize=True) for part in parts])

    def adjusted(self, logits: Tensor, rows: Tensor, step: int) -> Tensor:
        """Repetition penalty, the end token's factor, forbidden tokens."""
        config = self.config
        logits = logits.clone()
        for row, tokens in zip(logits, rows.tolist(), strict=True):
            for token in set(tokens[-config.repetition_window :]):
                row[token] = scaled(row[token], 1 / config.repetition_penalty)
        end = logits[:, self.end]
        logits[:, self.end] = scaled(end, config.end_factor if step else 1 / config.start_end_factor)
        logits[:, self.forbidden] = scaled(logits[:, self.forbidden], 1 / config.forbidden_factor)
        return logits


def scaled(logits: Tensor, factor: float) -> Tensor:
    """Times the factor where positive, divided by it where negative."""
    return torch.where(logits > 0, logits * factor, logits / factor)
