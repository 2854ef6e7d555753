"""Figures of the mini preset on photos with true masks, each with a 95% bootstrap interval over images.

    python benchmarks/mini.py --photos FOLDER [--only candidates,masks,end,text,nouns] [--wordnet FOLDER]

FOLDER holds images/NAME.jpg, masks/NAME.png (palette index = class, 0 = unlabelled) and classes.txt (index, name),
classes_official.txt (index, name, thing or stuff). The rows on words need no photos: the phrases and nouns that the
text tower never saw are in mini_held_out.json beside this file, their teacher comes with the extra [train].
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from zgcore import ZeroGuidance, load_image
from zgcore.evaluation.bootstrap import draws
from zgcore.evaluation.bootstrap import interval as percentiles
from zgcore.evaluation.candidates import majority
from zgcore.evaluation.ground_truth import VOID, GroundTruth
from zgcore.evaluation.overlap import Overlap, count
from zgcore.evaluation.partition import Partition
from zgcore.evaluation.per_class import PerClass
from zgcore.evaluation.reassign import SegmentToText
from zgcore.evaluation.scores import class_areas
from zgcore.masked_clip import CropMaskClip, MaskedClip
from zgcore.ward import candidate_tree
from zgcore.wordnet import FOLDER, read_synsets

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

LEAVES = 20
TEXT_THRESHOLD = 0.1  # a segment whose best class is less alike stays unassigned (ST)
RECALL_IOU = 0.5
RESAMPLES = 2000
SMALLEST_MASK = 0.01  # share of the photo; smaller true masks are counted apart
FILLS = 0.4  # an object fills a photo from this share on
ANIMALS_AND_VEHICLES = frozenset(
    [
        "bicycle",
        "car",
        "motorcycle",
        "airplane",
        "bus",
        "train",
        "truck",
        "boat",
        "bird",
        "cat",
        "dog",
        "horse",
        "sheep",
        "cow",
        "elephant",
        "bear",
        "zebra",
        "giraffe",
    ]
)
HELD_OUT = Path(__file__).with_name("mini_held_out.json")


@dataclass(frozen=True)
class Photo:
    """image: (H, W, 3) uint8. truth: (H, W) class index, 0 where unlabelled."""

    name: str
    image: NDArray[np.uint8]
    truth: NDArray[np.uint8]


@dataclass(frozen=True)
class Classes:
    """Classes that occur, in order of their index; thing tells objects from stuff."""

    index: list[int]
    names: list[str]
    thing: list[bool]


@dataclass(frozen=True)
class Rank:
    """Place of the right class, 0 the best, of a true mask; whether it is a thing, and large enough to count."""

    place: int
    thing: bool
    large: bool


def read_photos(folder: Path) -> tuple[list[Photo], Classes]:
    """All photos of a folder and the classes that occur in them."""
    photos = []
    for file in sorted((folder / "images").iterdir()):
        truth = np.asarray(Image.open(folder / "masks" / f"{file.stem}.png"))
        photos.append(Photo(file.stem, load_image(file), truth))
    present = {int(k) for photo in photos for k in np.unique(photo.truth)} - {0}
    rows = [line.split("\t") for line in (folder / "classes.txt").read_text().splitlines()]
    kinds = {
        int(row[0]): row[2]
        for row in (s.split("\t") for s in (folder / "classes_official.txt").read_text().splitlines())
        if len(row) > 2
    }
    kept = [(int(row[0]), row[1]) for row in rows if int(row[0]) in present]
    return photos, Classes([k for k, _ in kept], [name for _, name in kept], [kinds.get(k) == "thing" for k, _ in kept])


def interval(per_image: Sequence[Any], statistic: Callable[[list[Any]], float]) -> str:
    """The statistic over all images, and the 2.5th and 97.5th percentile over resampled images."""
    rng = np.random.default_rng(0)
    n = len(per_image)
    resampled = [statistic([per_image[i] for i in rng.integers(n, size=n)]) for _ in range(RESAMPLES)]
    low, high = np.nanpercentile(resampled, [2.5, 97.5])
    return printed(statistic(list(per_image)), low, high)


def printed(value: float, low: float, high: float) -> str:
    """A figure in percent and its interval."""
    return f"{value:5.1f}  [{low:.1f}, {high:.1f}]"


def share(pairs: list[tuple[float, float]]) -> float:
    """100 x sum of first over sum of second."""
    return 100 * sum(a for a, _ in pairs) / max(1e-9, sum(b for _, b in pairs))


def ground_truth(photo: Photo, classes: Classes) -> GroundTruth:
    """Places in the list of classes; what is unlabelled is void."""
    place = np.full(256, VOID, dtype=np.int32)
    place[classes.index] = np.arange(len(classes.index))
    return GroundTruth(place[photo.truth])


def overlap(segments: NDArray, photo: Photo, classes: Classes) -> Overlap:
    """(H, W) segment numbers against the truth."""
    members = np.eye(int(segments.max()) + 1, dtype=bool)  # disjoint segments are atoms
    return count(Partition(segments.astype(np.int32), members), ground_truth(photo, classes))


def candidate_bound(model: ZeroGuidance, photos: list[Photo], classes: Classes) -> dict[str, str]:
    """What 20 leaves allow at best: the majority class of each."""
    import dataclasses

    tree = dataclasses.replace(model.config.tree, leaves=LEAVES, similarity=1.0, min_area=0.0)
    per_class = PerClass(classes.names, 1, RECALL_IOU)
    accuracy, ious = [], []
    for photo in photos:
        features = F.normalize(model.oversegment.features(photo.image), dim=-1)
        gh, gw, c = features.shape
        _, labels = candidate_tree(features.reshape(gh * gw, c), tree)
        size = photo.truth.shape[::-1]
        leaf = np.asarray(
            Image.fromarray(labels.reshape(gh, gw).astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
        )
        table = overlap(leaf, photo, classes)
        areas = class_areas(table, majority(table), [0.0])
        per_class.add(areas)
        accuracy.append((float(areas.intersections.sum()), float(areas.truth.sum())))
        ious.append((float(areas.iou()[0]), 1.0))
    low, high = percentiles(per_class.resampled_mean_iou(draws(len(photos), RESAMPLES)))
    return {
        f"{LEAVES} leaves, majority class: pixel accuracy": interval(accuracy, share),
        f"{LEAVES} leaves, majority class: mIoU, mean over photos": interval(ious, share),
        f"{LEAVES} leaves, majority class: mIoU, classes over all photos": printed(
            100 * per_class.mean_iou()[0], 100 * low, 100 * high
        ),
    }


def class_embeddings(model: ZeroGuidance, classes: Classes) -> torch.Tensor:
    """(c, d) unit vectors of the class names, asked as the labels are."""
    return model.labeller.label_features(classes.names)


def true_masks(model: ZeroGuidance, photos: list[Photo], classes: Classes) -> dict[str, str]:
    """Rank of the right class for every true mask, by the method and by its ablations."""
    visual, config = model.encoder.visual, model.config.clip
    texts = class_embeddings(model, classes)
    encoders = {
        "full": model.encoder,
        "no subtraction": MaskedClip(visual, config.masked_blocks, config.sigma2, config.saliency, False),
        "crop and mask": CropMaskClip(visual),
    }
    ranks: dict[str, list[list[Rank]]] = {name: [] for name in encoders}
    for photo in photos:
        present = [number for number, k in enumerate(classes.index) if (photo.truth == k).any()]
        masks = torch.from_numpy(np.stack([photo.truth == classes.index[number] for number in present])).float()
        large = (masks.mean(dim=(1, 2)) >= SMALLEST_MASK).tolist()
        for name, encoder in encoders.items():
            found = F.normalize(encoder.encode_prepared(encoder.prepare(photo.image), masks), dim=-1)
            order = (found @ texts.T).argsort(dim=-1, descending=True)
            ranks[name].append(
                [
                    Rank(int((order[i] == number).nonzero()), classes.thing[number], large[i])
                    for i, number in enumerate(present)
                ]
            )

    def top(k: int, thing: bool | None = None, small_too: bool = False) -> Callable[[list[list[Rank]]], float]:
        def statistic(images: list[list[Rank]]) -> float:
            hits = [
                rank.place < k
                for image in images
                for rank in image
                if (thing is None or rank.thing == thing) and (rank.large or small_too)
            ]
            return float(100 * np.mean(hits)) if hits else float("nan")

        return statistic

    table = {}
    for name in encoders:
        table[f"true masks, {name}: top-1"] = interval(ranks[name], top(1))
        table[f"true masks, {name}: top-5"] = interval(ranks[name], top(5))
    full = ranks["full"]
    table["true masks, full: things, top-1"] = interval(full, top(1, thing=True))
    table["true masks, full: stuff, top-1"] = interval(full, top(1, thing=False))
    table["true masks of any size, full: top-1"] = interval(full, top(1, small_too=True))
    table["true masks of any size, full: top-5"] = interval(full, top(5, small_too=True))
    table["true masks of any size, full: things, top-1"] = interval(full, top(1, thing=True, small_too=True))
    pairs = list(zip(*ranks.values(), strict=True))  # per photo: full, no subtraction, crop and mask

    def lead(over: int) -> Callable[[list[tuple[list[Rank], ...]]], float]:
        def statistic(images: list[tuple[list[Rank], ...]]) -> float:
            return top(1)([image[0] for image in images]) - top(1)([image[over] for image in images])

        return statistic

    table["true masks, top-1: full minus no subtraction"] = interval(pairs, lead(1))
    table["true masks, top-1: full minus crop and mask"] = interval(pairs, lead(2))
    return table


def text_tower(model: ZeroGuidance, _wordnet: Path) -> dict[str, str]:
    """How near the text tower comes to its teacher on phrases it never saw."""
    from zgcore.mini.load import WEIGHTS_FILE, WEIGHTS_FOLDER, read_weights
    from zgcore.mini.training.run import SENTENCE_MEAN
    from zgcore.mini.training.sentences import SentenceTeacher, centre

    phrases = json.loads(HELD_OUT.read_text())["phrases"]
    mean = read_weights(WEIGHTS_FOLDER / WEIGHTS_FILE)[SENTENCE_MEAN].float()
    wanted = centre(SentenceTeacher().encode_names(phrases), mean)
    similar = model.labeller.label_features(phrases) @ wanted.T
    cosines = [(float(value), 1.0) for value in similar.diagonal()]
    nearest = (similar.argmax(dim=1) == torch.arange(len(phrases))).tolist()
    return {
        f"text tower, {len(phrases)} unseen phrases: cosine x 100": interval(cosines, share),
        f"text tower, {len(phrases)} unseen phrases: retrieval at 1": interval(
            [(float(n), 1.0) for n in nearest], share
        ),
    }


def unseen_nouns(model: ZeroGuidance, wordnet: Path) -> dict[str, str]:
    """ZeroCap given the text embedding of nouns the text tower never saw: does it say the noun or a WordNet synonym?"""
    synonyms: dict[str, set[str]] = {}
    for synset in read_synsets(wordnet).values():
        for lemma in synset.lemmas:
            synonyms.setdefault(lemma, set()).update(synset.lemmas)
    nouns = json.loads(HELD_OUT.read_text())["nouns"]
    labels = [caption.label for caption in model.labeller.captions(model.labeller.label_features(nouns))]
    for noun, label in zip(nouns, labels, strict=True):
        if noun != label:
            print(f"{noun}: {label}")
    right = [label in synonyms.get(noun, {noun}) for noun, label in zip(nouns, labels, strict=True)]
    same = [label == noun for noun, label in zip(nouns, labels, strict=True)]
    return {
        f"ZeroCap, {len(nouns)} unseen nouns: the noun": interval([(float(n), 1.0) for n in same], share),
        f"ZeroCap, {len(nouns)} unseen nouns: it or a synonym": interval([(float(n), 1.0) for n in right], share),
    }


def dictionary() -> frozenset[str]:
    """Words that count as words: those of English that wordfreq knows."""
    from wordfreq import iter_wordlist

    return frozenset(iter_wordlist("en"))


def end_to_end(model: ZeroGuidance, photos: list[Photo], classes: Classes) -> dict[str, str]:
    """ST: each segment goes to the class its embedding is most like; IoU, pixel accuracy, recall; seconds."""
    reassign = SegmentToText(classes.names, model.labeller.label_features)
    accuracy, ious, recalls, seconds, counts = [], [], [], [], []
    words: list[tuple[float, float]] = []
    shattered: dict[str, int] = {}
    known = dictionary()
    for photo in photos:
        start = time.perf_counter()
        result = model(photo.image)
        seconds.append(time.perf_counter() - start)
        counts.append(len(result.labels))
        table = overlap(result.index_map, photo, classes)
        areas = class_areas(table, reassign(result.embeddings), [TEXT_THRESHOLD])
        accuracy.append((float(areas.intersections.sum()), float(areas.truth.sum())))
        ious.append((float(areas.iou()[0]), 1.0))
        recalls.append((float(areas.hits(RECALL_IOU)[0, 0]), float(len(table.classes))))
        words.append((float(sum(set(label.split()) <= known for label in result.labels)), float(len(result.labels))))
        for number, name in enumerate(classes.names):
            truth = photo.truth == classes.index[number]
            if name in ANIMALS_AND_VEHICLES and truth.mean() >= FILLS:
                parts = [k for k in range(len(result)) if truth[result.index_map == k].mean() > 0.5]
                shattered[f"{photo.name} {name}"] = len(parts)
        print(photo.name, f"{seconds[-1]:.1f}s", list(result.labels), flush=True)
    return {
        "end to end, ST IoU": interval(ious, share),
        "end to end, ST pixel accuracy": interval(accuracy, share),
        "end to end, ST recall": interval(recalls, share),
        "labels of dictionary words only": interval(words, share),
        "segments per photo": f"{np.mean(counts):.1f}",
        "segments an animal or vehicle that fills its photo ends in": str(shattered),
        "seconds per photo": f"{np.mean(seconds):.1f} (median {np.median(seconds):.1f})",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--only", default="candidates,masks,end,text,nouns")
    parser.add_argument("--wordnet", type=Path, default=FOLDER)
    parser.add_argument("--preset", default="mini")
    parser.add_argument("--json", type=Path, help="also write the table here")
    arguments = parser.parse_args()
    stages = {"candidates": candidate_bound, "masks": true_masks, "end": end_to_end}
    word_stages = {"text": text_tower, "nouns": unseen_nouns}
    wanted = arguments.only.split(",")
    photos, classes = [], Classes([], [], [])
    if set(wanted) & set(stages):
        if arguments.photos is None:
            parser.error("give --photos, or only text,nouns with --only")
        photos, classes = read_photos(arguments.photos)
    model = ZeroGuidance.from_preset(arguments.preset, device="cpu")
    table: dict[str, str] = {}
    for name in wanted:
        if name in stages:
            table |= stages[name](model, photos, classes)
        else:
            table |= word_stages[name](model, arguments.wordnet)
    print(f"\n{len(photos)} photos, {len(classes.names)} classes, preset {arguments.preset}\n")
    for name, value in table.items():
        print(f"{name:62} {value}")
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=2))


if __name__ == "__main__":
    main()
