"""How well labels of one meaning come together: pairwise precision and recall on a hand-made set.

    python benchmarks/vocabulary.py [--texts mini|minilm] [--half first|second|both] [--pairs] [--scale N]

vocabulary_labels.csv holds texts with the group a person put each into, before anything was tuned. Families of
related groups (cats and dogs, cars and trucks) are in one half; which one, the hash of the family's name decides.
Thresholds, ours and the baseline's, were tuned on the first half alone. A pair of texts is positive where a method
gives both one label.

Rules of the set: words for one thing are one group (sofa, couch), and so are plurals, typos, spelling variants and what
only describes (a red car). Kinds are groups of their own (puppy is not dog, palm tree is not tree), and a homonym is in
the group of the meaning photos mostly show, or alone.
"""

from __future__ import annotations

import argparse
import csv
import gc
import random
import tempfile
import time
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zgcore.mini.load import words
from zgcore.vocabulary import Vocabulary
from zgcore.vocabulary.build import Builder
from zgcore.vocabulary.embedding import preset_texts, sentence_texts
from zgcore.vocabulary.lexicon import Lexicon
from zgcore.vocabulary.uses import LabelUse
from zgcore.vocabulary.yaml_file import vocabulary_text
from zgcore.wordnet import WordNet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zgcore.vocabulary.embedding import TextVectors

LABELS = Path(__file__).with_name("vocabulary_labels.csv")
THRESHOLDS = np.round(np.arange(0.3, 0.96, 0.01), 2)  # of the baseline, tried on the first half
Row = dict[str, str]


def lower_case(rows: Sequence[Row]) -> list[object]:
    """Baseline (a): texts are one label when they are the same in lower case."""
    return [row["text"].strip().lower() for row in rows]


def similar(rows: Sequence[Row], vectors: TextVectors, threshold: float) -> list[object]:
    """Baseline (b): average linkage over the cosines of the texts, cut at the threshold."""
    from scipy.cluster.hierarchy import fcluster, linkage

    found = vectors([row["text"].lower() for row in rows])
    return list(fcluster(linkage(found, method="average", metric="cosine"), t=1 - threshold, criterion="distance"))


def ours(rows: Sequence[Row], builder: Builder) -> list[object]:
    """What `zeroguide vocab build` does."""
    vocabulary = builder.build(LabelUse(row["text"], int(row["count"])) for row in rows)
    return [vocabulary.canonical(row["text"]) for row in rows]


def score(rows: Sequence[Row], labels: Sequence[object]) -> tuple[float, float, float]:
    """Precision, recall and F1 over pairs of texts, in percent."""
    right = given = wanted = 0
    for (one, a), (other, b) in combinations(list(zip(rows, labels, strict=True)), 2):
        same, together = one["group"] == other["group"], a == b
        right, given, wanted = right + (same and together), given + together, wanted + same
    precision, recall = right / given if given else 1.0, right / wanted
    return 100 * precision, 100 * recall, 100 * 2 * precision * recall / max(precision + recall, 1e-12)


def show_pairs(rows: Sequence[Row], labels: Sequence[object]) -> None:
    """Every pair that is wrong, and what kind of text the missed ones hold."""
    for (one, a), (other, b) in combinations(list(zip(rows, labels, strict=True)), 2):
        if (one["group"] == other["group"]) != (a == b):
            print(
                ("missed" if a != b else "wrong "), f"{one['text']} ({one['kind']}) | {other['text']} ({other['kind']})"
            )


def scale(count: int, vectors: TextVectors) -> None:
    """Seconds to build, write, read and use a vocabulary of so many made-up texts of one and two words."""
    rng, vocabulary_words = random.Random(0), words()
    made = (" ".join(rng.sample(vocabulary_words, rng.choice((1, 2, 2)))) for _ in range(count))
    texts = list(dict.fromkeys(made))
    builder = Builder(Lexicon(WordNet.find()), vectors)
    started = time.perf_counter()
    built = builder.build([LabelUse(text, rng.randint(1, 9)) for text in texts])
    print(f"{len(texts)} texts -> {len(built.labels)} labels: {time.perf_counter() - started:.1f} s")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "vocabulary.yaml")
        path.write_text(vocabulary_text(built), encoding="utf-8")
        gc.freeze()  # whoever reads a vocabulary has no WordNet in memory for the garbage collector to walk
        started = time.perf_counter()
        read = Vocabulary.load(path)
        print(f"{path.stat().st_size / 1e6:.1f} MB read in {time.perf_counter() - started:.1f} s")
    started = time.perf_counter()
    for text in texts:
        read.canonical(text)
    print(f"canonical: {1e6 * (time.perf_counter() - started) / len(texts):.0f} microseconds a text")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", choices=("mini", "minilm"), default="mini", help="the text encoder")
    parser.add_argument("--half", choices=("first", "second", "both"), default="both")
    parser.add_argument("--pairs", action="store_true", help="list every wrong pair of ours")
    parser.add_argument("--scale", type=int, metavar="N", help="time N made-up texts in place of the table")
    arguments = parser.parse_args()
    with LABELS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    halves = {half: [row for row in rows if row["half"] == half] for half in ("first", "second")}
    vectors = preset_texts("mini") if arguments.texts == "mini" else sentence_texts()
    if arguments.scale:
        scale(arguments.scale, vectors)
        return
    tuned = max(THRESHOLDS, key=lambda at: score(halves["first"], similar(halves["first"], vectors, at))[2])
    wordnet = WordNet.find()
    methods: dict[str, Callable[[Sequence[Row]], list[object]]] = {
        "lower case": lower_case,
        f"text embedding, cosine {tuned:.2f}": lambda some: similar(some, vectors, tuned),
        "ours, no WordNet": lambda some: ours(some, Builder(Lexicon(None, words()), vectors)),
        "ours, no text embedding": lambda some: ours(some, Builder(Lexicon(wordnet), None)),
        "ours": lambda some: ours(some, Builder(Lexicon(wordnet), vectors)),
    }
    print(f"texts by {vectors.name}, WordNet {'3.0' if wordnet else 'missing'}\n")
    print("| method | half | texts | groups | precision | recall | F1 |\n|---|---|---|---|---|---|---|")
    for half in halves if arguments.half == "both" else (arguments.half,):
        some = halves[half]
        for name, method in methods.items():
            figures = " | ".join(f"{value:.1f}" for value in score(some, method(some)))
            print(f"| {name} | {half} | {len(some)} | {len({row['group'] for row in some})} | {figures} |")
        if arguments.pairs:
            show_pairs(some, methods["ours"](some))


if __name__ == "__main__":
    main()
