"""Tiny images as text, for tests of the evaluation: one character a pixel, rows apart by spaces."""

from __future__ import annotations

import numpy as np
from pycocotools import mask as coco_mask

from zgcore.evaluation.boundary import boundary_counts
from zgcore.evaluation.ground_truth import BACKGROUND, VOID, GroundTruth
from zgcore.evaluation.overlap import overlap
from zgcore.evaluation.prediction import Prediction
from zgcore.evaluation.scored import Reassignment, ScoredImage


def truth(picture):
    """Letters are classes from "a" for 0, "." is void, "-" is background."""
    special = {".": VOID, "-": BACKGROUND}
    rows = [[special.get(c, ord(c) - ord("a")) for c in row] for row in picture.split()]
    return GroundTruth(np.array(rows, np.int32))


def masks(picture):
    """Digits are segments, "." is none of them: (n, H, W) bool."""
    rows = np.array([list(row) for row in picture.split()])
    return np.stack([rows == digit for digit in sorted(set(rows.flat) - {"."})]) if (rows != ".").any() else rows[:0]


def encode(stack):
    """(n, H, W) bool -> COCO run-length masks."""
    return tuple(coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8)) for mask in stack)


def prediction(stack, texts=None, embeddings=None):
    n = len(stack)
    return Prediction(encode(stack), tuple(texts or ["thing"] * n), np.zeros(n, np.float32), embeddings)


def reassigned(classes, similarity=None):
    """Letters as in `truth`, "." for no class; similarity 1 unless given."""
    rows = np.array([-1 if c == "." else ord(c) - ord("a") for c in classes], np.int32)
    return Reassignment(rows, np.ones(len(rows), np.float32) if similarity is None else np.float32(similarity))


def scored(true_picture, segments_picture, name="image", texts=None, named=None, **kinds):
    """A ScoredImage; kinds: tt=reassigned(...), st=..."""
    true, stack = truth(true_picture), masks(segments_picture)
    made = prediction(stack, texts)
    parts = np.zeros(true.index_map.shape, np.int32)
    for number, mask in enumerate(stack):
        parts[mask] = number + 1
    return ScoredImage(
        name, *true.index_map.shape, overlap(made, true), made.texts, made.scores,
        np.array([mask.sum() for mask in stack]), kinds, boundary_counts(parts, true.index_map), {}, named,
    )  # fmt: skip
