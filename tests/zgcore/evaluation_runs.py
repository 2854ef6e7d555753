"""Run folders with hand-worked figures: three 4 x 4 images and one that failed.

Classes: cat, grass, sky; V is void. By TT (threshold 0.5) and ST (0.1), of run A and of run B where it differs:

    meadow  truth  S S S S   two segments, rows 0-1 "sky" and rows 2-3 "lawn": both right by TT and ST. IoU 1, recall 1.
                   S S S S
                   G G G G
                   G G G G
    garden  truth  C C G G   columns 0-2, a hostile label: cat by both, IoU 8/12. Column 3 "green lawn": TT says sky, at
                   (4 rows)  0.4 dropped; ST says grass, at 0.05 dropped (B: at 0.2 kept, IoU 4/8).
                             TT and ST A: (2/3 + 0) / 2 = 1/3, recall 1/2. ST B: (2/3 + 1/2) / 2 = 7/12, recall 1/2.
    field   truth  V V V V   one segment, all of it, "sky": TT sky, which is absent: grass 0, sky 0, IoU 0, recall 0.
                   G G G G   ST A grass: IoU 1, recall 1. ST B sky: IoU 0, recall 0.
                   (twice more)
    broken  failed
    mean           TT IoU 4/9, recall 1/2. ST A IoU 7/9, recall 5/6. ST B IoU 19/36, recall 1/2.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from pycocotools import mask as coco

from tests.chromium import SCRIPT
from zgcore.evaluation.boundary import boundary_counts
from zgcore.evaluation.ground_truth import VOID, GroundTruth
from zgcore.evaluation.overlap import count
from zgcore.evaluation.partition import partition
from zgcore.evaluation.prediction import Prediction
from zgcore.evaluation.records import write_summary, write_tables
from zgcore.evaluation.rows import Labelled, failed_rows, scored_rows
from zgcore.evaluation.run_info import RunInfo, names_digest, write_run
from zgcore.evaluation.scored import LEXICAL, ST, TT, Reassignment, ScoredImage
from zgcore.evaluation.summary import summarise

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = ("cat", "grass", "sky")
HOSTILE = SCRIPT + "\u202egnp.exe" + "x" * 400
C, G, S, V = 0, 1, 2, VOID
TRUTH = {
    "meadow": [[S] * 4] * 2 + [[G] * 4] * 2,
    "garden": [[C, C, G, G]] * 4,
    "field": [[V] * 4] + [[G] * 4] * 3,
}
SEGMENTS = {
    "meadow": ([[1] * 4] * 2 + [[0] * 4] * 2, [[0] * 4] * 2 + [[1] * 4] * 2),
    "garden": ([[1, 1, 1, 0]] * 4, [[0, 0, 0, 1]] * 4),
    "field": ([[1] * 4] * 4,),
}
TEXTS = {"meadow": ("sky", "lawn"), "garden": (HOSTILE, "green lawn"), "field": ("sky",)}
TT_FOUND = {"meadow": ((S, 0.9), (G, 0.6)), "garden": ((C, 0.55), (S, 0.4)), "field": ((S, 1.0),)}
ST_FOUND = {"meadow": ((S, 0.25), (G, 0.2)), "garden": ((C, 0.3), (G, 0.05)), "field": ((G, 0.15),)}
ST_FOUND_B = ST_FOUND | {"garden": ((C, 0.3), (G, 0.2)), "field": ((S, 0.2),)}
RELATIONS = {"meadow": ("exact", "hyponym"), "garden": ("", "hyponym"), "field": ("exact",)}
NAMED = {"meadow": ("grass", "sky"), "garden": ("kitten", "wall"), "field": ("meadow",)}  # of the true masks
COSINES = {"meadow": (1.0, 1.0), "garden": (0.8, 0.1), "field": (0.45,)}  # 3 of 5 reach 0.5
SIDE = 120  # pixels of the photos


def make_data(folder: Path) -> None:
    """A plain data set with three photos."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    (folder / "classes.txt").write_text("".join(f"{k}\t{name}\n" for k, name in enumerate(CLASSES, start=1)))
    for number, (name, rows) in enumerate(TRUTH.items()):
        truth = np.array(rows)
        Image.fromarray(np.where(truth == V, 0, truth + 1).astype(np.uint8)).save(folder / "masks" / f"{name}.png")
        Image.new("RGB", (SIDE, SIDE), (90 + 40 * number, 120, 160)).save(folder / "images" / f"{name}.png")


def make_run(
    run: Path, data: Path, *, predictor="full", st=ST_FOUND, lexical=True, ratings=None, copies=1, **settings
) -> Path:
    """Write a run's folder as the runner does. ratings: of people. copies: of every image, the first with its own name,
    so that there are images enough for p-values and every mean stays. settings: of RunInfo.
    """
    info = RunInfo(
        data=f"folder:{data}", data_set="folder", classes=CLASSES, samples=4, sample_digest=names_digest(TRUTH),
        predictor=predictor, **{"preset": "mini", "sentence_model": "all-MiniLM-L6-v2", "tgq": True, **settings},
    )  # fmt: skip
    images, rows = [], []
    shown = [(name, f"{name}_{copy}" if copy else name) for copy in range(copies) for name in TRUTH]
    for position, (name, called) in enumerate(shown):
        image, prediction = _scored(name, st if st is not None else None, lexical=lexical)
        image = replace(image, name=called)
        images.append(image)
        true_masks = np.unique([k for k in np.array(TRUTH[name]).ravel() if k >= 0])
        labelled = Labelled(_prediction(NAMED[name], [rle(np.array(TRUTH[name]) == k) for k in true_masks]),
                            true_masks, [int((np.array(TRUTH[name]) == k).sum()) for k in true_masks])  # fmt: skip
        file = str(data / "images" / f"{name}.png")
        rows.append(scored_rows(position, file, image, prediction, labelled, CLASSES))
    rows.append(failed_rows(len(shown), "broken", str(data / "broken.png"), f"it ends too early {SCRIPT}"))
    write_tables(run, rows)
    document = summarise(images, CLASSES, ratings=ratings and dict.fromkeys((TT, ST), ratings))
    document.pop("seconds")
    write_summary(run, document | {"preset": "mini", "data": info.data, "predictor": predictor, "failed": 1})
    write_run(run, info)
    return run


def _scored(name: str, st: dict | None, *, lexical: bool) -> tuple[ScoredImage, Prediction]:
    truth = GroundTruth(np.array(TRUTH[name], np.int32))
    prediction = _prediction(TEXTS[name], [rle(np.array(mask)) for mask in SEGMENTS[name]])
    parts = partition(prediction.masks, 4, 4)
    found = {TT: _found(TT_FOUND[name])}
    if st is not None:
        found[ST] = _found(st[name])
    if lexical:
        told = [
            (TT_FOUND[name][k][0] if relation else -1, float(bool(relation)))
            for k, relation in enumerate(RELATIONS[name])
        ]
        found[LEXICAL] = Reassignment(*_arrays(told), RELATIONS[name])
    true_masks = np.unique([k for k in np.array(TRUTH[name]).ravel() if k >= 0]).astype(np.int32)
    named = Reassignment(true_masks, np.array(COSINES[name], np.float32))
    image = ScoredImage(
        name, 4, 4, count(parts, truth), prediction.texts, prediction.scores, parts.areas(), found,
        boundary_counts(parts.atoms, truth.index_map), {"features": 0.25, "texts": 1.5}, named,
    )  # fmt: skip
    return image, prediction


def _prediction(texts, masks) -> Prediction:
    return Prediction(tuple(masks), tuple(texts), np.full(len(texts), 0.25, np.float32))


def _found(pairs) -> Reassignment:
    return Reassignment(*_arrays(pairs))


def _arrays(pairs) -> tuple[np.ndarray, np.ndarray]:
    return np.array([k for k, _ in pairs], np.int32), np.array([s for _, s in pairs], np.float32)


def rle(mask: np.ndarray) -> dict:
    return coco.encode(np.asfortranarray(mask.astype(np.uint8)))
