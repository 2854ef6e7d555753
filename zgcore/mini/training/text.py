"""The text tower, distilled from Sentence-BERT: "Image of a {phrase}." must land where the teacher puts it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from zgcore.clip_text import ClipText, common_prefix
from zgcore.mini.training.sentences import PROMPT, centre
from zgcore.mini.training.steps import Schedule, train
from zgcore.token_trie import Ragged

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from open_clip.model import CLIP
    from torch import Tensor

    from zgcore.clip_text import Tokens
    from zgcore.mini.architecture import MiniTokenizer
    from zgcore.mini.training.sentences import SentenceTeacher

BATCH = 256
QUIET = 0.1  # what the start leaves of the other blocks' say
CONTRAST, TEMPERATURE = 0.1, 0.05  # weight and temperature of the loss that tells the phrases of a batch apart


@dataclass(frozen=True)
class Fit:
    """How near the student comes to its teacher. cosine: mean over phrases. retrieval: share whose nearest teacher
    vector, of all the phrases', is their own."""

    cosine: float
    retrieval: float


def start_from_teacher(model: CLIP, tokenizer: MiniTokenizer, teacher: SentenceTeacher, mean: Tensor,
                       skip: Sequence[str], seed: int) -> None:  # fmt: skip
    """Begin as a bag of words: each token embedding is the teacher's vector of the token, on its main axes.

    The first block's attention is uniform and hands values through; the projection leads back to the teacher's space.
    skip: words whose tokens get no such start, since the tower is tested on them.
    """
    torch.manual_seed(seed)
    spelt = [tokenizer.decoder[token].replace("</w>", "") for token in range(len(tokenizer.decoder))]
    vectors = centre(teacher.encode_names(spelt, "tokens"), mean)  # (tokens, 384)
    silent = {*skip, *PROMPT.lower().split()}
    vectors[[token for token, text in enumerate(spelt) if text in silent or not text.isalnum()]] = 0
    width = model.token_embedding.weight.shape[1]
    _, _, axes = torch.linalg.svd(vectors, full_matrices=False)  # (384, 384), rows are axes
    axes = axes[:width]
    first = model.transformer.resblocks[0].attn
    with torch.no_grad():
        model.token_embedding.weight.copy_(vectors @ axes.T + 0.01 * torch.randn(len(vectors), width))
        model.positional_embedding.mul_(0.1)
        model.text_projection.copy_(axes)
        first.in_proj_weight[: 2 * width].mul_(0.1)
        first.in_proj_weight[2 * width :].copy_(torch.eye(width))
        first.out_proj.weight.copy_(torch.eye(width))
        for number, block in enumerate(model.transformer.resblocks):
            block.mlp.c_proj.weight.mul_(QUIET)
            if number:
                block.attn.out_proj.weight.mul_(QUIET)
        model.ln_final.bias.sub_(_mean_before_projection(model, tokenizer, spelt[-2000:-10]))


def _mean_before_projection(model: CLIP, tokenizer: MiniTokenizer, phrases: Sequence[str]) -> Tensor:
    """(width,) what the tower says whatever the phrase is."""
    projection = model.text_projection
    model.text_projection = None
    found = ClipText(model, tokenizer).encode([PROMPT.format(phrase) for phrase in phrases])
    model.text_projection = projection
    return found.mean(dim=0)


def embed(clip_text: ClipText, sequences: Sequence[Tokens]) -> Tensor:
    """(n, 384) embeddings that gradients flow through; what all sequences begin with is run once."""
    shared = min(common_prefix(sequences[0], other) for other in sequences)
    prefix = clip_text.read_prefixes([sequences[0][:shared]])
    rests = Ragged.of([sequence[shared:] for sequence in sequences])
    return clip_text.encode_continuations(prefix, np.zeros(len(sequences), np.int64), rests)


def distil(model: CLIP, tokenizer: MiniTokenizer, phrases: Sequence[str], targets: Tensor, schedule: Schedule,
           folder: Path) -> None:  # fmt: skip
    """Train the text tower of `model` in place; a stopped run goes on from `folder`.

    targets: (n, 384) unit vectors of the teacher, one a phrase.
    """
    clip_text = ClipText(model, tokenizer)
    sequences = [clip_text.tokenize(PROMPT.format(phrase)) for phrase in phrases]
    names = ("token_embedding", "positional_embedding", "transformer", "ln_final", "text_projection")
    trained = {name: tensor for name, tensor in model.named_parameters() if name.startswith(names)}

    def loss(step: int) -> Tensor:
        epoch, at = divmod(step * BATCH, len(sequences) // BATCH * BATCH)
        order = np.random.default_rng((schedule.seed, epoch)).permutation(len(sequences))[at : at + BATCH]
        found = F.normalize(embed(clip_text, [sequences[row] for row in order]), dim=-1)
        wanted = targets[torch.from_numpy(order)]
        similar = found @ wanted.T
        contrast = F.cross_entropy(similar / TEMPERATURE, torch.arange(len(order)))
        return (1 - similar.diagonal()).mean() + CONTRAST * contrast

    train(trained, loss, schedule, folder, "text tower")


@torch.no_grad()
def evaluate(model: CLIP, tokenizer: MiniTokenizer, phrases: Sequence[str], targets: Tensor) -> Fit:
    """Cosine with the teacher and retrieval at 1 among all the phrases."""
    found = F.normalize(ClipText(model, tokenizer).encode([PROMPT.format(phrase) for phrase in phrases]), dim=-1)
    similar = found @ targets.T
    own = similar.argmax(1) == torch.arange(len(phrases))
    return Fit(float(similar.diagonal().mean()), float(own.float().mean()))
