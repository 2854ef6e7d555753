"""From which text similarity on a label belongs to a closed list: `match_threshold` of a preset.

    python benchmarks/matching.py --preset mini

What people would put into each class of templates/closed_list.xml, and things that are in none of them, are matched as
the server does it. A given label is right or wrong; one that is not given goes to "other", or its region is left out.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ls_backend.inference import Inference
from ls_backend.labelling_config import catch_all, parse_config
from ls_backend.settings import Settings
from zgcore import ZeroGuidance

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIG = Path(__file__).parents[1] / "templates" / "closed_list.xml"
NAMES = {
    "person": "man, woman, child, boy, girl, baby, player, rider, skier, surfer, crowd, worker",
    "animal": "dog, cat, horse, cow, sheep, bird, giraffe, zebra, elephant, bear, duck, puppy",
    "vehicle": "car, truck, bus, train, bicycle, motorcycle, boat, airplane, van, tram, taxi",
    "building": "house, church, tower, skyscraper, cottage, barn, hotel, castle, brick house",
    "furniture": "chair, table, sofa, couch, bed, desk, shelf, cabinet, bench, bookcase",
    "food": "pizza, cake, sandwich, banana, apple, carrot, donut, bread, salad, broccoli",
    "plant": "tree, bush, flower, grass, shrub, palm, fern, hedge, potted plant, green leaves",
    "ground": "road, pavement, sidewalk, sand, dirt, floor, soil, street, gravel",
    "water": "sea, river, lake, ocean, pond, wave, stream",
    "sky": "clouds, cloud, blue sky, cloudy sky",
    "": "book, umbrella, clock, phone, guitar, ball, kite, lamp, mirror, sign, window, shirt, hat, shoe, bottle, cup, "
    "knife, keyboard, television, curtain, pillow, towel",
}
THRESHOLDS = np.arange(0.1, 0.91, 0.05)


@dataclass(frozen=True)
class Texts:
    """What `Inference.match` asks of segments."""

    labels: Sequence[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="mini")
    parser.add_argument("--weights", type=Path)
    options = parser.parse_args()
    pairs = [(name, truth) for truth, names in NAMES.items() for name in names.split(", ")]
    (target,) = parse_config(CONFIG.read_text(encoding="utf-8")).targets
    choices = [label for label in target.brush.labels if label != catch_all(target.brush.labels)]
    belonging = sum(bool(truth) for _, truth in pairs)
    print(
        f"preset {options.preset}, {belonging} names of {len(choices)} classes and {len(pairs) - belonging} of none\n"
    )
    print("| threshold | given | right | of the wrong class | of no class | precision | recall | F1 |\n|" + "---|" * 8)
    settings = Settings(preset=options.preset, weights=options.weights)
    model = ZeroGuidance.from_preset(options.preset, weights=options.weights)
    for threshold in map(float, THRESHOLDS):
        inference = Inference(replace(settings, match_threshold=threshold), model)
        print(row(inference, choices, pairs, threshold))
        inference.close()


def row(inference: Inference, choices: Sequence[str], pairs: Sequence[tuple[str, str]], threshold: float) -> str:
    found = inference.match(choices, Texts([name for name, _ in pairs]))
    given = [(label, truth) for label, (_, truth) in zip(found, pairs, strict=True) if label is not None]
    right = sum(label == truth for label, truth in given)
    strangers = sum(not truth for _, truth in given)
    belonging = sum(bool(truth) for _, truth in pairs)
    precision, recall = right / max(1, len(given)), right / belonging
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    wrong = len(given) - right - strangers
    return (
        f"| {threshold:.2f} | {len(given)} | {right} | {wrong} | {strangers} "
        f"| {precision:.2f} | {recall:.2f} | {f1:.2f} |"
    )


if __name__ == "__main__":
    main()
