"""Text from an embedding: a language model is steered, token by token, until its words fit a segment.

ZeroCap (Tewel et al., CVPR 2022) as section 3.3 of the paper uses it. At every step the keys and values of the text so
far are shifted by a few gradient steps that pull the next token towards words CLIP likes and hold it near what the
untouched model would say; a beam search keeps the best texts. Segments are independent and run in one batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from zgcore.beams import Beams
from zgcore.continuations import Continuations
from zgcore.first_step import FirstStep
from zgcore.language import ContextModel, Reading, forbidden_tokens

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor
    from transformers import PreTrainedModel

    from zgcore.clip_text import ClipText
    from zgcore.config import ZeroCapConfig

UNLABELLED = "unlabelled"  # the label of a segment for which no beam found a word
_NORM_FLOOR = 1e-15  # added to gradient norms, as published


@dataclass(frozen=True)
class Beam:
    """One text. tokens: language-model ids after the prompt. score: mean log probability of the tokens."""

    text: str
    tokens: tuple[int, ...]
    score: float


@dataclass(frozen=True, eq=False)  # tensors have no one truth value to compare by
class Caption:
    """The label chosen for a segment, its CLIP cosine with the segment, and the beams it was chosen from.

    text_embedding: (d,) unit vector of the label, asked with the prompt.
    """

    label: str
    similarity: float
    beams: list[Beam]
    text_embedding: Tensor


@dataclass(frozen=True)
class Search:
    """Where a search stands. embeddings: (n, d) unit vectors. reading: what the untouched model knows of each row."""

    embeddings: Tensor
    beams: Beams
    reading: Reading


def clean_label(text: str) -> str:
    """Lower case; full stops and control characters out; single spaces."""
    printable = "".join(c if c.isprintable() and c != "." else " " for c in text)
    return " ".join(printable.lower().split())


def boost(logits: Tensor, factor: float) -> Tensor:
    """Make tokens more likely by a factor on the logits' own scale: times it where positive, divided where not."""
    return torch.where(logits > 0, logits * factor, logits / factor)


class ZeroCap:
    """Embeddings -> texts.

    lm, lm_tokenizer: a Hugging Face causal language model and its tokenizer.
    clip_text: the text tower that shares its space with the embeddings.
    config: the numbers of section 3.3.
    first_step_folders: where the features of the first token's candidates may be kept between runs, best first.

    Raises ConfigError for a vocabulary that cannot spell the prompt or the end token.
    """

    def __init__(
        self,
        lm: PreTrainedModel,
        lm_tokenizer: Any,
        clip_text: ClipText,
        config: ZeroCapConfig,
        *,
        first_step_folders: Sequence[Path] = (),
    ) -> None:
        self.config = config
        self.clip_text = clip_text
        self.lm = ContextModel(lm, lm_tokenizer)
        self.prompt = self.lm.prompt_ids(config.prompt)
        asked = self.lm.text(self.prompt)  # what CLIP reads in front of the first token
        text_format = getattr(torch, config.text_format)
        self.continuations = Continuations(clip_text, self.lm, lasting=[asked], text_format=text_format)
        self.first_step = FirstStep(self.continuations, self.lm, asked, first_step_folders)
        self.end = self.lm.token_id(config.end_token)
        self.forbidden = torch.zeros(self.lm.vocabulary, dtype=torch.bool, device=self.lm.device)
        self.forbidden[forbidden_tokens(lm_tokenizer)] = True

    def describe(self, embeddings: Tensor | NDArray[np.float32]) -> list[list[Beam]]:
        """Texts for (n, d) segment embeddings of any norm: n lists of beams, best mean log probability first."""
        self.first_step.load()
        described: list[list[Beam]] = []
        units = torch.as_tensor(embeddings)
        for part in units.tensor_split(max(1, -(-len(units) // self._segments_at_once()))):  # of equal size
            search = self.start(part)
            while len(search.beams) and search.beams.step < self.config.max_tokens:
                search = self.advance(search, self.next_log_probabilities(search))
            described += self.texts(search)
        self.first_step.save()
        return described

    def captions(self, embeddings: Tensor | NDArray[np.float32]) -> list[Caption]:
        """One label a segment: of its beams the one with the highest CLIP cosine, asked as "Image of a {label}."."""
        described = self.describe(embeddings)
        units = F.normalize(torch.as_tensor(embeddings).to(self.clip_text.device, torch.float32), dim=-1)  # (n, d)
        choices = [
            list(dict.fromkeys(filter(None, (clean_label(beam.text) for beam in beams)))) or [UNLABELLED]
            for beams in described
        ]
        features = self.label_features([label for labels in choices for label in labels])
        captions = []
        parts = features.split([len(labels) for labels in choices])
        for unit, part, labels, beams in zip(units, parts, choices, described, strict=True):
            cosines = part @ unit  # (labels,)
            best = int(cosines.argmax())
            captions.append(Caption(labels[best], float(cosines[best]), beams, part[best]))
        return captions

    def label_features(self, labels: list[str]) -> Tensor:
        """(n, d) unit vectors of labels, asked with the prompt."""
        return self.clip_text.encode_labels(labels, self.config.prompt)

    def _segments_at_once(self) -> int:
        """Segments whose beams fit the memory budget: context, delta, gradient and their copies, and the logits."""
        config = self.lm.model.config
        length = len(self.prompt) + self.config.max_tokens
        context = 2 * config.num_hidden_layers * config.hidden_size * length
        floats = 6 * context + 8 * self.lm.vocabulary + self.config.candidates * self.clip_text.output_dim
        return max(1, self.config.memory_mb * 2**20 // (4 * floats * self.config.beams))

    def start(self, embeddings: Tensor) -> Search:
        """One row a segment, holding the prompt. embeddings: (n, d) of any norm."""
        units = F.normalize(embeddings.detach().clone().to(self.lm.device, torch.float32), dim=-1)
        reading = self.lm.read(torch.tensor([self.prompt], device=self.lm.device))
        rows = torch.zeros(len(units), dtype=torch.long, device=self.lm.device)
        return Search(units, Beams.start(len(units)), reading.rows(rows))

    def next_log_probabilities(self, search: Search) -> Tensor:
        """(r, vocabulary) log probabilities of each row's next token.

        As published they are normalised over all beams of a segment together; a finished beam counts as one whole row.
        """
        untouched = F.log_softmax(search.reading.logits, dim=-1)  # (r, vocabulary)
        logits = self._adjust(self._shifted_logits(search, untouched), search.beams)
        shifted = F.log_softmax(logits, dim=-1)
        fused = self.config.fusion * shifted + (1 - self.config.fusion) * untouched  # (r, vocabulary)
        owner = torch.from_numpy(search.beams.owner).to(fused.device)
        ended = torch.tensor([float(len(beams)) for beams in search.beams.ended], device=fused.device)  # (n,)
        sums = fused.logsumexp(dim=-1).exp()  # (r,) each close to 1
        totals = ended + F.one_hot(owner, len(ended)).T.to(sums.dtype) @ sums  # a scattered sum has no fixed order
        return fused - totals[owner].log()[:, None]

    def _shifted_logits(self, search: Search, untouched: Tensor) -> Tensor:
        """(r, vocabulary) logits after the gradient steps on the context.

        untouched: (r, vocabulary) log probabilities on the context as it was read.
        """
        config = self.config
        rows = self._rows(search.beams)  # (r, t)
        last = torch.from_numpy(rows[:, -1:]).to(self.lm.device)
        context = search.reading.context[..., :-1, :]  # of all tokens but the last
        prefixes = [self.lm.text(row) for row in rows.tolist()]
        embeddings = search.embeddings[torch.from_numpy(search.beams.owner).to(self.lm.device)]  # (r, d)
        delta = torch.zeros_like(context)
        scored = config.first_candidates if config.first_candidates and not search.beams.step else config.candidates
        for _ in range(config.iterations):
            delta.requires_grad_(True)
            logits = self.lm.next_logits(last, context + delta)
            slope = self._loss_slope(logits.detach(), untouched, prefixes, embeddings, scored)
            (gradient,) = torch.autograd.grad(logits, delta, slope)
            norms = gradient.flatten(2).norm(dim=2) + _NORM_FLOOR  # (2 * layers, r): per layer, tensor and beam
            step = config.step_size * gradient / norms[..., None, None, None] ** config.grad_norm_power
            delta = (delta - step).detach()
        with torch.no_grad():
            return self.lm.next_logits(last, context + delta)

    def _loss_slope(
        self, logits: Tensor, untouched: Tensor, prefixes: list[str], embeddings: Tensor, candidates: int
    ) -> Tensor:
        """(r, vocabulary) gradient with respect to the logits of clip_scale * CE(q, p) + fluency_scale * KL(p || p0).

        q: what CLIP would choose among the most probable tokens. Written out, since a softmax's gradient has a closed
        form: p - q for the cross-entropy, p * (log p/p0 - KL) for the divergence.
        """
        log_p = F.log_softmax(logits, dim=-1)
        p = log_p.exp()
        ratio = log_p - untouched
        divergence = (p * ratio).sum(dim=-1, keepdim=True)  # (r, 1)
        top = log_p.topk(min(candidates, log_p.shape[-1]), dim=-1, sorted=False).indices  # (r, k)
        cosines = self.continuations.cosines(prefixes, top, embeddings).to(log_p.device)  # (r, k)
        target = F.softmax(cosines / self.config.temperature, dim=-1)
        scale, fluency = self.config.clip_scale, self.config.fluency_scale
        slope = p * (scale + fluency * (ratio - divergence))
        return slope.scatter_add_(1, top, -scale * target)

    def _adjust(self, logits: Tensor, beams: Beams) -> Tensor:
        """Damp repeated and forbidden tokens; boost the end token, but damp it at the first step."""
        config = self.config
        if config.repetition_penalty != 1.0:
            recent = torch.from_numpy(self._rows(beams)[:, -config.repetition_window :]).to(logits.device)
            repeated = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, recent, True)
            logits = torch.where(repeated, boost(logits, 1 / config.repetition_penalty), logits)
        end = torch.zeros_like(self.forbidden)
        end[self.end] = True
        logits = torch.where(
            end, boost(logits, config.end_factor if beams.step else 1 / config.start_end_factor), logits
        )
        return torch.where(self.forbidden, boost(logits, 1 / config.forbidden_factor), logits)

    def advance(self, search: Search, log_p: Tensor) -> Search:
        """The best beams of each segment after one more token; (r, vocabulary) log probabilities in."""
        values, tokens = log_p.topk(min(self.config.beams, log_p.shape[-1]), dim=-1)  # (r, beams)
        beams, source = search.beams.extend(
            tokens.cpu().numpy(), values.double().cpu().numpy(), self.config.beams, self.end
        )
        if not len(beams) or beams.step >= self.config.max_tokens:
            return Search(search.embeddings, beams, search.reading)
        before = search.reading.context[:, torch.from_numpy(source).to(self.lm.device)]
        last = torch.from_numpy(beams.tokens[:, -1:]).to(self.lm.device)
        return Search(search.embeddings, beams, self.lm.read(last, before))

    def texts(self, search: Search) -> list[list[Beam]]:
        """The beams of every segment as text, best first."""
        return [
            [Beam(self.lm.text(beam.tokens), beam.tokens, beam.score) for beam in search.beams.ranked(segment)]
            for segment in range(len(search.embeddings))
        ]

    def _rows(self, beams: Beams) -> NDArray[np.int64]:
        """(r, t) ids of each row, prompt included."""
        prompt = np.tile(np.array(self.prompt, dtype=np.int64), (len(beams), 1))
        return np.concatenate([prompt, beams.tokens], axis=1)
