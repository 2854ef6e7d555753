"""The language model: short noun phrases over whole words, in contexts that decide what comes next.

ZeroCap steers by shifting keys and values of the context, which only works where the model listens to them. So half
of the texts begin with a word that is near, for the sentence teacher, to the noun they end with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from zgcore.mini.training.steps import Schedule, train

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor
    from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

    from zgcore.mini.training.phrases import Lexicon

BATCH = 128
REMINDED = 0.5  # share of texts whose first word hints at the noun
DESCRIBED = 0.1  # share of texts with an adjective before the noun; with more, the search begins with one too readily
NEIGHBOURS = 20
WORD_NORM = 1.0  # of word embeddings at the start; GPT-2's own, 0.3 at this width, leaves ZeroCap no grip
PROMPT = ("Image", " of", " a")
QUIET = 0.1  # what the start leaves of queries, keys and MLPs


class Texts:
    """Draws texts as token rows; all words are as likely, so that none stands in another's way.

    vectors: (words, 384) unit vectors of the sentence teacher, one a word of the vocabulary.
    """

    def __init__(self, lexicon: Lexicon, tokenizer: PreTrainedTokenizerFast, vectors: Tensor) -> None:
        vocabulary = tokenizer.get_vocab()
        self.bos = int(tokenizer.bos_token_id)
        self.end = vocabulary["."]
        self.prompt = [vocabulary[word] for word in PROMPT]
        row = {word: number for number, word in enumerate(lexicon.vocabulary)}
        self.tokens = np.array([vocabulary[f" {word}"] for word in lexicon.vocabulary])
        self.nouns = np.array([row[word] for word in lexicon.vocabulary if word not in lexicon.only_adjectives])
        self.adjectives = np.array([row[word] for word in lexicon.vocabulary if word in lexicon.describing])
        similar = vectors[self.nouns] @ vectors[self.nouns].T
        self.near = similar.topk(NEIGHBOURS, dim=1).indices.numpy()  # the noun itself first

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """(count, 7) tokens, and the same as targets with -100 where nothing is asked."""
        chosen = rng.integers(len(self.nouns), size=count)
        noun = self.tokens[self.nouns[chosen]]
        describe = rng.random(count) < DESCRIBED
        adjective = self.tokens[rng.choice(self.adjectives, count)]
        end = np.full(count, self.end)
        rows = np.stack([np.where(describe, adjective, noun), np.where(describe, noun, end), end], axis=1)
        start = np.tile([self.bos, *self.prompt], (count, 1))
        reminded = rng.random(count) < REMINDED
        hint = self.near[chosen, rng.integers(NEIGHBOURS, size=count)]
        place = rng.integers(1, 4, size=count)
        start[reminded, place[reminded]] = self.tokens[self.nouns[hint[reminded]]]
        tokens = torch.from_numpy(np.concatenate([start, rows], axis=1))
        targets = tokens.clone()
        targets[:, : start.shape[1]] = -100
        targets[torch.from_numpy(~describe), -1] = -100
        return tokens, targets


def start_from_teacher(model: GPT2LMHeadModel, texts: Texts, vectors: Tensor) -> None:
    """Word embeddings begin on the main axes of the sentence teacher's vectors; words that mean alike begin alike.

    Every block begins with even attention that hands values through, so that a shift of the context's values moves the
    next word whatever the random start was: from GPT-2's own start, one seed in two learns to ignore its context, and
    ZeroCap cannot steer it.
    """
    width = model.transformer.wte.weight.shape[1]
    _, _, axes = torch.linalg.svd(vectors, full_matrices=False)
    projected = vectors @ axes[:width].T
    with torch.no_grad():
        model.transformer.wte.weight[torch.from_numpy(texts.tokens)] = WORD_NORM * F.normalize(projected, dim=-1)
        for block in model.transformer.h:
            block.attn.c_attn.weight[:, : 2 * width].mul_(QUIET)
            block.attn.c_attn.weight[:, 2 * width :].copy_(torch.eye(width))
            block.attn.c_proj.weight.copy_(torch.eye(width))
            block.mlp.c_proj.weight.mul_(QUIET)


def fit(model: GPT2LMHeadModel, texts: Texts, schedule: Schedule, folder: Path) -> None:
    """Train the language model in place; a stopped run goes on from `folder`."""
    parameters = dict(model.named_parameters())

    def loss(step: int) -> Tensor:
        tokens, targets = texts.draw(BATCH, np.random.default_rng((schedule.seed, step)))
        logits = model(input_ids=tokens).logits[:, :-1]
        return F.cross_entropy(logits.flatten(0, 1), targets[:, 1:].flatten(), ignore_index=-100)

    train(parameters, loss, schedule, folder, "language model")
