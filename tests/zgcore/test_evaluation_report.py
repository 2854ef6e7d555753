"""Reports of hand-worked runs (see evaluation_runs): numbers in tables, comparisons, sweeps, hostile labels."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from itertools import product

import numpy as np
import pytest
from defusedxml import ElementTree

pytest.importorskip("pyarrow")
pytest.importorskip("matplotlib")

from tests.zgcore import evaluation_runs
from tests.zgcore.evaluation_runs import HOSTILE, SIDE, ST_FOUND, ST_FOUND_B, G, V, make_data, make_run
from zgcore.errors import EvaluationError
from zgcore.evaluation.comparison import compare_runs, comparison_markdown, comparison_report, write_comparison
from zgcore.evaluation.ground_truth import BACKGROUND
from zgcore.evaluation.records import SegmentRecord
from zgcore.evaluation.report import (
    overview_report,
    run_markdown,
    run_report,
    sweep_report,
    write_overview,
    write_report,
    write_sweep_report,
)
from zgcore.evaluation.report_gallery import _index_map
from zgcore.evaluation.report_run import open_run, open_runs
from zgcore.evaluation.sweep import open_sweep

NONE = "\N{EN DASH}"
MERGED = {"merge": {"threshold": 0.45, "max_segments": 0}, "clip": {"encoder": "masked", "global_subtraction": True}}
UNMERGED = MERGED | {"merge": {"threshold": 2.0, "max_segments": 0}}
CROP = {"encoder": "crop", "global_subtraction": True}
NOTHING = {name: tuple((k, 0.0) for k, _ in found) for name, found in ST_FOUND_B.items()}  # all below the threshold


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Data, a run of the method, and the same without merging, which differs in ST."""
    folder = tmp_path_factory.mktemp("evaluation")
    make_data(folder / "data")
    make_run(folder / "full", folder / "data", settings=MERGED)
    make_run(folder / "no-merge", folder / "data", predictor="no-merge", st=ST_FOUND_B, settings=UNMERGED)
    return folder


@pytest.fixture(scope="module")
def report(folder):
    return run_report(open_run(folder / "full"))


def table(report, title: str):
    return next(t for section in report.sections for t in section.tables if t.title == title)


def rows(report, title: str) -> list[list[str]]:
    """What a table prints, its intervals left out."""
    return [[cell.text for cell in row] for row in table(report, title).rows]


def test_head_says_what_was_measured(report):
    assert report.title == "full on data"
    assert dict(report.facts) == {
        "preset": "mini", "predictor": "full", "data": "data, 3 classes", "images": "3 of 4",
        "sentence model": "all-MiniLM-L6-v2",
    }  # fmt: skip
    assert any("not the paper's" in note for note in report.notes)
    assert any("all-mpnet-base-v2" in note for note in report.notes)
    assert [name for name, _ in report.failures] == ["broken"]


def test_headline_figures(report):
    assert {tile.name: tile.value for tile in report.tiles} == {
        "TT IoU, %": "44.4", "TT recall, %": "50.0", "ST IoU, %": "77.8", "ST recall, %": "83.3",
        "lexical IoU, %": "33.3", "lexical recall, %": "33.3", "text generation quality, %": "60.0",
    }  # fmt: skip
    assert all(re.match(r"95% \[[\d.]+, [\d.]+\]", tile.note) for tile in report.tiles)


def test_table_1(report):
    n = NONE
    assert rows(report, "Table 1. Data sets") == [
        ["data", "full", "3", "44.4", "50.0", "77.8", "83.3", "33.3", "33.3", n, n, n],
        ["PC-59", "paper: full", n, n, n, n, n, n, n, "11.2", "10.3", "19.6"],
        ["PC-459", "paper: full", n, n, n, n, n, n, n, n, n, "11.3"],
        ["VOC-20", "paper: full", n, n, n, n, n, n, n, n, n, "20.1"],
    ]
    assert rows(report, "Table 1, systems that are given the class names")[0] == ["GroupViT", "25.9", "4.9", "50.7"]


def test_table_3(folder):
    both = overview_report(open_runs([folder / "full", folder / "no-merge"]))
    assert rows(both, "Table 3. Ablations") == [
        ["full", "77.8", "83.3", "60.0", "44.4", "17.5", "15.0", "19.0", "11.3", "20.1"],
        ["no-merge", "52.8", "50.0", "60.0", "44.4", "16.4", "11.8", NONE, "10.2", "18.3"],
    ]


def test_averages(report):
    found = {row[0]: row[1:] for row in rows(report, "Every average")}
    # Grass: 8 of 28 by TT, 20 of 28 by ST; cat 8 of 12; sky 8 of 20 by TT, 8 of 8 by ST.
    assert found["TT"] == ["44.4", "50.0", "45.1", "60.0", "54.5", "0.50", "80.0"]
    assert found["ST"] == ["77.8", "83.3", "79.4", "80.0", "81.8", "0.10", "80.0"]


def test_thresholds_stand_beside_the_papers(report):
    tt = {row[0]: row[1:] for row in rows(report, "TT by threshold")}
    assert tt["0.40"] == ["40.7", "50.0", "11.2", "23.9"]  # garden: cat 2/3, grass 0, sky 0 beside it
    assert tt["0.50"] == ["44.4", "50.0", "11.4", "27.3"]
    assert tt["1.00"] == ["0.0", "0.0", "5.3", "11.2"]
    st = {row[0]: row[1:] for row in rows(report, "ST by threshold")}
    assert st["0.05"] == ["86.1", "83.3", "19.6", "20.1"]  # garden: cat 2/3, grass 1/2
    assert st["0.30"] == ["11.1", "16.7", "0.0", "0.0"]


def test_human_verification_shows_the_papers_until_there_are_ratings(report):
    assert rows(report, "Verified by people") == [
        ["TT, score 1 or more", NONE, NONE, NONE, "11.0", "9.8"],
        ["ST, score 3", NONE, NONE, NONE, "14.2", "13.2"],
        ["ST, score 2 or more", NONE, NONE, NONE, "20.9", "18.0"],
        ["ST, score 1 or more", NONE, NONE, NONE, "22.7", "19.4"],
    ]


def test_human_verification_of_rated_segments(folder, tmp_path):
    # Kept by three points: meadow, IoU 1 of 3 images. By one: garden too, IoU 1/3 and recall 1/2. Field got none.
    ratings = {("meadow", 0): 3, ("meadow", 1): 3, ("garden", 0): 1, ("field", 0): 0}
    run = make_run(tmp_path / "run", folder / "data", ratings=ratings)
    assert rows(run_report(open_run(run), pictures=False), "Verified by people") == [
        ["TT, score 1 or more", "44.4", "50.0", "4", "11.0", "9.8"],
        ["ST, score 3", "33.3", "33.3", "4", "14.2", "13.2"],
        ["ST, score 2 or more", "33.3", "33.3", "4", "20.9", "18.0"],
        ["ST, score 1 or more", "44.4", "50.0", "4", "22.7", "19.4"],
    ]


def test_classes_labels_and_time(report):
    assert rows(report, "Every class")[0] == [
        "grass",
        "3",
        "28",
        "28.6",
        "33.3",
        "1",
        "71.4",
        "66.7",
        "2",
        "28.6",
        "33.3",
        "1",
    ]
    assert rows(report, "Most frequent confusions, TT")[0] == ["grass", "sky", "12", "42.9"]
    labels = dict(rows(report, "Labels"))
    assert (labels["segments"], labels["vocabulary"], labels["labels used once, %"]) == ("5", "4", "75.0")
    assert dict(rows(report, "Most frequent labels"))["sky"] == "2"
    assert rows(report, "Labels by the dictionary") == [
        ["exact", "2", "40.0"], ["synonym", "0", "0.0"], ["hyponym", "2", "40.0"], ["hypernym", "0", "0.0"],
        ["no match", "1", "20.0"],
    ]  # fmt: skip
    assert rows(report, "Seconds by stage") == [["features", "0.25"], ["texts", "1.50"]]


def test_settings_that_are_not_the_papers(folder):
    found = rows(run_report(open_run(folder / "no-merge"), pictures=False), "Settings that are not the paper's")
    assert found == [["merge.threshold", "2.0", "0.8"]]


def cards(report) -> dict:
    return {card.name: card for section in report.sections for card in section.cards}


def test_gallery_shows_truth_and_segments_in_the_same_colours(report):
    best = next(section for section in report.sections if section.key == "best")
    assert [card.name for card in best.cards] == ["meadow", "field", "garden"]  # IoU 1, 1 and 1/3
    photo, truth, segments = cards(report)["garden"].pictures
    assert (photo.width, photo.height, photo.note) == (SIDE, SIDE, "")
    assert [(tag.name, tag.note) for tag in truth.tags] == [("cat", "IoU 66.7"), ("grass", "IoU 0.0")]
    cat, lawn = segments.tags
    assert (cat.note, lawn.name, lawn.note) == ("→ cat 0.30", "green lawn", "→ no class")
    assert cat.colour == truth.tags[0].colour
    assert lawn.colour not in {tag.colour for tag in truth.tags}
    pixels = decoded(segments.jpeg)
    assert np.abs(pixels[60, 20] - mixed(cat.colour, 1)).max() < 12
    assert np.abs(pixels[60, 105] - mixed(lawn.colour, 1)).max() < 12
    assert np.abs(decoded(truth.jpeg)[60, 20] - mixed(cat.colour, 1)).max() < 12


def decoded(jpeg: bytes) -> np.ndarray:
    import io

    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(jpeg))).astype(float)


def mixed(colour: str, photo: int) -> np.ndarray:
    """A colour at 62% over the photo of that number."""
    return 0.38 * np.array([90 + 40 * photo, 120, 160]) + 0.62 * np.array(list(bytes.fromhex(colour[1:])))


def test_random_images_are_the_same_every_time(report, folder):
    again = run_report(open_run(folder / "full"))
    assert cards(report).keys() == cards(again).keys()
    assert report == again


def test_missing_photos_and_data_are_said(folder, tmp_path):
    make_data(tmp_path / "data")
    run = make_run(tmp_path / "run", tmp_path / "data")
    shutil.rmtree(tmp_path / "data")
    photo, truth, segments = cards(run_report(open_run(run)))["garden"].pictures
    assert photo.jpeg is None
    assert photo.note.startswith("The photo is missing:")
    assert truth.jpeg is None
    assert [tag.name for tag in truth.tags] == ["cat", "grass"]
    assert segments.jpeg is not None


def test_an_image_without_segments_shows_its_photo(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(evaluation_runs.SEGMENTS, "field", ())
    for found in (evaluation_runs.TEXTS, evaluation_runs.TT_FOUND, evaluation_runs.ST_FOUND, evaluation_runs.RELATIONS):
        monkeypatch.setitem(found, "field", ())
    report = run_report(open_run(make_run(tmp_path / "run", folder / "data")))
    photo, truth, segments = cards(report)["field"].pictures
    assert photo.jpeg is not None
    assert [tag.name for tag in truth.tags] == ["grass"]
    assert segments.jpeg is not None
    assert segments.tags == ()
    assert cards(report)["field"].facts == "ST IoU 0.0 · ST recall 0.0"


def test_small_segments_lie_on_large_ones():
    # Other systems' segments overlap: the small one must not vanish under the large one, whatever their order.
    small, large = np.zeros((4, 4), bool), np.ones((4, 4), bool)
    small[:2, :2] = True
    records = [
        SegmentRecord("a", "", k, "", 0.0, int(mask.sum()), evaluation_runs.rle(mask), {})
        for k, mask in enumerate((small, large))
    ]
    assert _index_map(records, 4, 4).tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]]


def test_predictions_of_other_systems_need_no_embeddings(folder, tmp_path):
    run = make_run(tmp_path / "run", folder / "data", predictor="file:other.json", st=None, lexical=False, preset=None)
    found = run_report(open_run(run))
    assert [tile.name for tile in found.tiles] == ["TT IoU, %", "TT recall, %", "text generation quality, %"]
    assert not any(t.title == "Table 3. Ablations" for section in found.sections for t in section.tables)
    assert dict(found.facts)["preset"] == "none"
    assert cards(found)["garden"].facts == "TT IoU 33.3 · TT recall 50.0"


def test_a_folder_that_is_no_run(tmp_path):
    with pytest.raises(EvaluationError, match="not the folder of an evaluation run"):
        write_report(tmp_path)
    with pytest.raises(EvaluationError, match="no sweep"):
        open_sweep(tmp_path)


def test_comparison(folder):
    found = compare_runs(folder / "full", folder / "no-merge").to_document()
    figures = {(one["kind"], one["figure"]): one for one in found["figures"]}
    st = figures["st", "iou"]
    assert (st["a"], st["b"], st["difference"]) == pytest.approx((7 / 9, 19 / 36, -1 / 4))
    assert (st["interval"], st["p"]) == ([None, None], None)  # three images say nothing about others
    assert figures["tt", "iou"]["difference"] == 0
    assert figures["st", "recall"]["difference"] == pytest.approx(-1 / 3)
    assert figures["tgq", "tgq"]["a"] == pytest.approx(3 / 5)
    assert found["changed"] == [
        {"image": "field", "a": 1.0, "b": 0.0, "difference": -1.0},
        {"image": "garden", "a": pytest.approx(1 / 3), "b": pytest.approx(7 / 12), "difference": pytest.approx(1 / 4)},
    ]
    classes = {one["class"]: one for one in found["classes"]}
    # Grass: 20 of 28 by A; by B 8 + 4 of 8 + 8 + 12. Sky: 8 of 8, and of 20 in B.
    assert (classes["grass"]["a"], classes["grass"]["b"]) == pytest.approx((20 / 28, 12 / 28))
    assert (classes["sky"]["a"], classes["sky"]["b"]) == pytest.approx((1, 8 / 20))
    assert found["settings"] == ["merge.threshold", "predictor"]
    summary = json.loads((folder / "full" / "summary.json").read_text())
    for name in ("iou", "recall", "iou_dataset"):
        assert figures["st", name]["a"] == pytest.approx(summary["st"][name])


def test_intervals_and_p_of_six_images(tmp_path, folder):
    # ST IoU changes by 0, 1/4 and -1, twice each: a resample is six draws of these three, 729 equally likely ones.
    runs = [make_run(tmp_path / name, folder / "data", st=st, copies=2)
            for name, st in (("a", ST_FOUND), ("b", ST_FOUND_B))]  # fmt: skip
    found = compare_runs(*runs).to_document()
    figures = {(one["kind"], one["figure"]): one for one in found["figures"]}
    resamples = np.array([sum(drawn) / 6 for drawn in product((0, 1 / 4, -1), repeat=6)])
    st = figures["st", "iou"]
    assert st["difference"] == pytest.approx(-1 / 4)
    assert st["interval"] == pytest.approx(np.percentile(resamples, [2.5, 97.5]))
    assert st["p"] == pytest.approx(2 * (resamples >= 0).mean(), abs=0.04)  # 2,000 of them are drawn
    assert (figures["tt", "iou"]["difference"], figures["tt", "iou"]["p"]) == (0, 1)
    classes = {one["class"]: one for one in found["classes"]}
    assert (classes["grass"]["images"], classes["cat"]["images"]) == (6, 2)
    assert classes["grass"]["p"] < 1
    assert (classes["cat"]["interval"], classes["cat"]["p"]) == ([None, None], None)


def test_comparison_of_a_run_with_a_much_better_one(tmp_path, folder):
    # All images change by the same sign, so every resample shows it: p is the smallest there is.
    worse = make_run(tmp_path / "worse", folder / "data", predictor="worse", st=NOTHING, copies=2)
    found = compare_runs(worse, make_run(tmp_path / "full", folder / "data", copies=2)).to_document()
    st = next(one for one in found["figures"] if (one["kind"], one["figure"]) == ("st", "iou"))
    assert (st["a"], st["b"]) == pytest.approx((0, 7 / 9))
    assert st["p"] == pytest.approx(2 / 2001)


def test_what_has_no_p_says_so_and_stands_last_in_a_sorted_column(tmp_path, folder):
    page = write_comparison(folder / "full", folder / "no-merge", tmp_path)
    assert "3 images: no p" in page.read_text()
    assert 'data-value="nan"' not in page.read_text()


def test_comparison_shows_both_segmentations(folder):
    found = comparison_report(compare_runs(folder / "full", folder / "no-merge"))
    field = cards(found)["field"]
    assert field.facts == "ST IoU 100.0 → 0.0 (-100.0)"
    assert [picture.title for picture in field.pictures] == ["true classes", "full", "no-merge"]
    assert [picture.tags[0].note for picture in field.pictures[1:]] == ["→ grass 0.15", "→ sky 0.20"]


def test_runs_that_cannot_be_compared(folder, tmp_path):
    other = make_run(tmp_path / "other", folder / "data")
    info = json.loads((other / "run.json").read_text())
    (other / "run.json").write_text(json.dumps(info | {"classes": ["cat", "grass", "roof"]}))
    with pytest.raises(EvaluationError, match="different classes"):
        compare_runs(folder / "full", other)


@pytest.mark.parametrize(
    "field",
    [
        [[V] * 4] * 2 + [[G] * 4] * 2,  # fewer pixels of grass
        [[BACKGROUND] * 4] + [[G] * 4] * 3,  # as many, but what was void is background
    ],
)
def test_runs_with_other_true_masks_cannot_be_compared(folder, tmp_path, monkeypatch, field):
    monkeypatch.setitem(evaluation_runs.TRUTH, "field", field)
    other = make_run(tmp_path / "other", folder / "data", predictor="no-merge", settings=UNMERGED)
    with pytest.raises(EvaluationError, match=r"full.*other.*different true masks \(1 image: field\)"):
        compare_runs(folder / "full", other)
    with pytest.raises(EvaluationError, match="different true masks"):
        overview_report(open_runs([folder / "full", other]))


@pytest.mark.parametrize(
    "damage",
    [
        {"tt": 5},
        {"st": {"threshold": "0.1"}},
        {"st": {"iou": 0.5}},
        {"st": {"threshold": 0.1, "iou": "0.5"}},
        {"st": {"threshold": 0.1, "interval": {"iou": [0.1]}}},
        {"tt": {"threshold": 0.5, "curve": {"similarity": [0.0, 0.1], "iou": [0.5], "recall": [0.5, 0.5]}}},
        {"images": "3"},
        {"segments": None},
        {"upper_bound": {"iou": []}},
    ],
)
def test_a_damaged_summary_is_told(folder, tmp_path, damage):
    damaged = make_run(tmp_path / "run", folder / "data")
    summary = json.loads((damaged / "summary.json").read_text())
    (damaged / "summary.json").write_text(json.dumps(summary | damage))
    with pytest.raises(EvaluationError, match=r"summary\.json is damaged.*zeroguide eval report"):
        compare_runs(folder / "full", damaged)


def test_a_damaged_mask_is_told():
    record = SegmentRecord("garden", "garden.png", 2, "cat", 0.5, 8, {"size": [4, 4], "counts": "!!!!"}, {})
    with pytest.raises(EvaluationError, match="garden: the mask of segment 2 is damaged"):
        _index_map([record], 4, 4)


def test_effects_of_few_images_are_not_decided(folder):
    both = overview_report(open_runs([folder / "full", folder / "no-merge"]))
    by_claim = {(row[0], row[2], row[3]): row for row in rows(both, "Effects of the paper")}
    merging = by_claim["Merging raises IoU", "52.8", "77.8"]
    assert merging[4:] == ["+25.0", NONE, "not decided", "no-merge → full"]
    assert ("ST scores above TT", "44.4", "77.8") in by_claim
    assert ("Dropping far labels raises IoU", "40.7", "44.4") in by_claim
    assert not any("subtraction" in claim for claim, *_ in by_claim)  # that run is not there
    effects = next(section for section in both.sections if section.key == "effects")
    assert effects.text[0].startswith("These are not decided by this many images")
    assert "merging raises IoU (ST IoU +25.0" in effects.text[0]
    assert "in part its training's doing" in effects.text[-1]


def test_an_effect_appears_where_every_resample_has_it(folder, tmp_path):
    # Cut out nothing is right: full is better by 1, 1/3 and 1, twice each, so no resample is at or below 0.
    full = make_run(tmp_path / "full", folder / "data", settings=MERGED, copies=2)
    crop = make_run(tmp_path / "crop", folder / "data", predictor="crop", st=NOTHING, copies=2,
                    settings=MERGED | {"clip": CROP})  # fmt: skip
    found = rows(overview_report(open_runs([full, crop])), "Effects of the paper")
    masked = next(row for row in found if row[0] == "Masked attention beats cutting out")
    assert masked[2:] == ["0.0", "77.8", "+77.8", "<0.001", "appears", "crop → full"]


def test_a_part_is_judged_with_and_without_merging(folder, tmp_path):
    crop = make_run(tmp_path / "crop", folder / "data", predictor="crop", st=NOTHING, settings=MERGED | {"clip": CROP})
    unmerged = make_run(
        tmp_path / "crop-unmerged", folder / "data", predictor="crop", settings=UNMERGED | {"clip": CROP}
    )
    report = overview_report(open_runs([folder / "full", unmerged, folder / "no-merge", crop]))  # order says nothing
    effects = [row for row in rows(report, "Effects of the paper") if "cutting out" in row[0]]
    paper = "PC-59 12.1 → 17.5, PC-459 5.4 → 11.3, VOC-20 14.0 → 20.1"
    assert [row for row in effects if row[0].startswith("Masked attention beats")] == [
        ["Masked attention beats cutting out", paper, "0.0", "77.8", "+77.8", NONE, "not decided", "crop → full"],
        ["Masked attention beats cutting out, nothing merged", NONE, "77.8", "52.8", "-25.0", NONE, "not decided",
         "crop, tau_merge 2 → no-merge"],
    ]  # fmt: skip
    said = next(section for section in report.sections if section.key == "effects").text
    assert any("merge by one threshold" in text for text in said)
    # The paper has no figure for crops that do not merge.
    table_3 = {row[0]: row[5] for row in rows(report, "Table 3. Ablations")}
    assert table_3 == {"full": "17.5", "crop, tau_merge 2": NONE, "no-merge": "16.4", "crop": "12.1"}


def test_runs_that_differ_in_more_than_a_part_show_no_effect(folder, tmp_path):
    crop = make_run(tmp_path / "crop", folder / "data", predictor="crop", settings=UNMERGED | {"clip": CROP})
    report = overview_report(open_runs([folder / "full", crop]))
    assert not any("cutting out" in row[0] for row in rows(report, "Effects of the paper"))
    said = next(section for section in report.sections if section.key == "effects").text
    assert any(
        text.startswith("full and crop, tau_merge 2 differ in more than one part of the method (merge.threshold)")
        for text in said
    )


@pytest.fixture(scope="module")
def sweep(folder):
    path = folder / "sweep"
    make_run(path / "sigma2=1", folder / "data")
    make_run(path / "sigma2=2.5", folder / "data", st=ST_FOUND_B)
    document = {"schema": 1, "param": "sigma2", "setting": "clip.sigma2", "values": [1, 2.5],
                "runs": ["sigma2=1", "sigma2=2.5"]}  # fmt: skip
    (path / "sweep.json").write_text(json.dumps(document))
    return path


def test_sweep(sweep):
    found = sweep_report(open_sweep(sweep))
    shown = rows(found, "sigma2 (clip.sigma2)")
    assert shown == [
        ["1", "1.7", "44.4", "50.0", "77.8", "83.3", "33.3", "33.3", "60.0", "+25.0", NONE],
        ["2.5", "1.7", "44.4", "50.0", "52.8", "50.0", "33.3", "33.3", "60.0", "0.0", NONE],  # the preset's
    ]
    assert found.sections[0].text == ()
    write_sweep_report(sweep)
    (svg,) = (sweep / "figures").glob("*.svg")
    texts = {node.text for node in ElementTree.parse(svg).iter("{http://www.w3.org/2000/svg}text")}
    assert {"1", "2.5", "TT", "ST", "clip.sigma2", "IoU, %"} <= texts
    assert (sweep / "report.html").exists()


def test_a_sweep_in_which_nothing_changes_is_not_drawn(folder, tmp_path):
    for value in (1, 2):
        make_run(tmp_path / f"masked_blocks={value}", folder / "data", copies=2)
    document = {"schema": 1, "param": "masked_blocks", "setting": "clip.masked_blocks", "values": [1, 2],
                "runs": ["masked_blocks=1", "masked_blocks=2"]}  # fmt: skip
    (tmp_path / "sweep.json").write_text(json.dumps(document))
    (section,) = sweep_report(open_sweep(tmp_path)).sections
    assert section.plots == ()
    assert section.text[0].startswith(
        "All 2 values give exactly the same figures: clip.masked_blocks has no effect with preset mini"
    )
    assert [row[-1].text for row in section.tables[0].rows] == ["1.000", "1.000"]
    # One label more is a figure that differs, though no headline does.
    path = tmp_path / "masked_blocks=2" / "summary.json"
    summary = json.loads(path.read_text())
    summary["labels"]["vocabulary"] += 1
    path.write_text(json.dumps(summary))
    (section,) = sweep_report(open_sweep(tmp_path)).sections
    assert section.text == ()
    assert len(section.plots) == 1


def test_reports_are_made_without_torch(folder, tmp_path):
    code = (
        "import sys; from pathlib import Path; from zgcore.evaluation.report import write_overview, write_report\n"
        "from zgcore.evaluation.comparison import write_comparison\n"
        "from zgcore.evaluation.runner import summarise_run\n"
        "a, b, out = map(Path, sys.argv[1:]); summarise_run(a); write_report(a, out); write_comparison(a, b, out)\n"
        "write_overview([a, b], out); print('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, *(str(path) for path in (folder / "full", folder / "no-merge", tmp_path))]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == "False\n"


def test_files_are_the_same_bytes_again(folder, tmp_path, sweep):
    for out in ("one", "two"):
        write_report(folder / "full", tmp_path / out)
        write_comparison(folder / "full", folder / "no-merge", tmp_path / out / "comparison")
        write_overview([folder / "full", folder / "no-merge"], tmp_path / out / "overview", [sweep], commands=["a b"])
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert len(files) > 12
    for path in files:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes(), path
    readme = (tmp_path / "one" / "overview" / "README.md").read_text()
    linked = set(re.findall(r"\(figures/([^)]+)\)", readme))
    assert linked == {path.name for path in (tmp_path / "one" / "overview" / "figures").iterdir()}
    assert readme.endswith("## Made by\n\n```\na b\n```\n")
    for name in linked:
        ElementTree.parse(tmp_path / "one" / "overview" / "figures" / name)


class Tags(HTMLParser):
    """The elements of a page, and where its table cells' text goes."""

    def __init__(self) -> None:
        super().__init__()
        self.tags, self.text = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


def test_hostile_labels_stay_text(folder, tmp_path):
    pages = [
        write_report(folder / "full", tmp_path / "run"),
        write_comparison(folder / "full", folder / "no-merge", tmp_path / "comparison"),
    ]
    for page in pages:
        html = page.read_text()
        parser = Tags()
        parser.feed(html)
        assert sum(tag == "script" for tag, _ in parser.tags) == 1
        assert not any(name.startswith("on") or name == "style" for _, attributes in parser.tags for name in attributes)
        assert not any(attributes.get("src", "data:")[:5] != "data:" for _, attributes in parser.tags)
        assert "\u202e" not in html
        assert "x" * 200 not in html  # essays are cut
    text = run_markdown(folder / "full") + comparison_markdown(folder / "full", folder / "no-merge")
    assert "<script>" not in text
    assert "\u202e" not in text
    assert HOSTILE[:9].replace("<", "&lt;") in text


def test_nothing_of_a_run_reaches_the_terminal_as_a_control_character(folder):
    text = run_markdown(folder / "full")
    assert not [c for c in text if ord(c) < 32 and c != "\n"]
