"""Studies made of small runs: what is asked, what is shown, and that the same seed makes the same files."""

import json
import re
import shutil
from collections import Counter

import pytest
from PIL import Image

from ls_backend import cli
from ls_backend.studies.gold import words
from ls_backend.studies.instruction import EXAMPLES, PARTS, SCALE, example_picture, instruction_html
from ls_backend.studies.manifest import load_study
from tests.ls_backend.study_runs import BOXES, labels_of, write_run

IMAGES = 12


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """12 images of 4 segments: two large, one medium, one small."""
    return write_run(tmp_path_factory.mktemp("runs") / "ours", IMAGES)


def create(capsys, *arguments, code=0):
    """The JSON of `zeroguide study create`, or what it says where it must fail."""
    found = cli.main(["study", "create", *map(str, arguments), "--workers", "1", "--json"])
    out, err = capsys.readouterr()
    assert found == code, err
    return err if code else json.loads(out)


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_study_of_everything(run, tmp_path, capsys):
    document = create(capsys, run, "--out", tmp_path / "study")
    assert (document["rated"], document["batches"]) == (48, 2)  # 27 and 21
    assert document["questions"] == 48 + 2 * 3
    assert document["strata"] == {"ours": {"small": [12, 12], "medium": [12, 12], "large": [24, 24]}}
    study = load_study(tmp_path / "study")
    rated = [question for question in study.questions if question.kind == "rated"]
    assert {(one.image, one.segment) for one in rated} == {(f"image{n:03}", s) for n in range(IMAGES) for s in range(4)}
    for question in rated:
        assert question.label == labels_of(int(question.image[-3:]))[question.segment]
    assert [question.id for question in study.questions] == [f"q{number:04}" for number in range(1, 55)]
    assert not study.missing_pictures()
    areas = {question.segment: question.area for question in rated}
    assert areas == {0: 0.50175, 1: 0.4, 2: 0.0975, 3: 0.00075}  # 4014, 3200, 780 and 6 of 8000 pixels


def test_the_same_seed_makes_the_same_files(run, tmp_path, capsys):
    for name in ("one", "two"):
        create(capsys, run, "--out", tmp_path / name, "--questions", "20", "--seed", "4")
    assert files(tmp_path / "one") == files(tmp_path / "two")
    create(capsys, run, "--out", tmp_path / "three", "--questions", "20", "--seed", "5")
    asked = [[one.label for one in load_study(tmp_path / name).questions] for name in ("one", "three")]
    assert asked[0] != asked[1]
    names = [{one.picture for one in load_study(tmp_path / name).questions} for name in ("one", "three")]
    assert names[0].isdisjoint(names[1])


def test_a_study_that_was_stopped_goes_on(run, tmp_path, capsys):
    out = tmp_path / "study"
    made = create(capsys, run, "--out", out, "--questions", "10")["pictures_made"]
    before = files(out)
    pictures = sorted((out / "pictures").iterdir())
    assert len(pictures) == made
    pictures[0].unlink()
    pictures[1].write_bytes(pictures[1].read_bytes()[:-100])  # as after a power cut
    assert create(capsys, run, "--out", out, "--questions", "10")["pictures_made"] == 2
    assert create(capsys, run, "--out", out, "--questions", "10")["pictures_made"] == 0
    assert files(out) == before


def test_another_study_is_not_written_over(run, tmp_path, capsys):
    create(capsys, run, "--out", tmp_path / "study", "--questions", "10")
    before = files(tmp_path / "study")
    said = create(capsys, run, "--out", tmp_path / "study", "--questions", "11", code=2)
    assert "another study" in said
    assert files(tmp_path / "study") == before


def test_lost_pictures_are_drawn_again_without_the_run(tmp_path, capsys):
    """From questions.jsonl and the photos, which need not lie in the run's folder."""
    run = write_run(tmp_path / "runs" / "ours", IMAGES, photos=tmp_path / "photos")
    out = tmp_path / "study"
    made = create(capsys, run, "--out", out, "--questions", "10")["pictures_made"]
    before = files(out)
    shutil.rmtree(tmp_path / "runs")
    shutil.rmtree(out / "pictures")
    shutil.rmtree(out / "instruction")
    document = create(capsys, run, "--out", out, "--questions", "10")
    assert (document["pictures_made"], document["rated"]) == (made, 10)
    assert [note for note in document["notes"] if "the runs are gone" in note]
    assert files(out) == before
    for different in (
        ("--questions", "11"),
        ("--questions", "10", "--seed", "1"),
        ("--questions", "10", "--gold", "1"),
    ):
        assert "of other runs or settings" in create(capsys, run, "--out", out, *different, code=2)
    other = tmp_path / "elsewhere" / "ours"
    assert "of other runs or settings" in create(capsys, other, "--out", out, "--questions", "10", code=2)
    assert "is no run" in create(capsys, run, "--out", tmp_path / "new", code=2)
    assert files(out) == before


def test_a_style_of_another_version(tmp_path, capsys):
    run = write_run(tmp_path / "runs" / "ours", 2, photos=tmp_path / "photos")
    create(capsys, run, "--out", tmp_path / "study", "--gold", "0")
    shutil.rmtree(run)
    settings = (tmp_path / "study" / "study.json").read_text()
    (tmp_path / "study" / "study.json").write_text(settings.replace('"dim":', '"dimmer":'))
    assert "another version's style" in create(capsys, run, "--out", tmp_path / "study", "--gold", "0", code=2)


def test_a_study_is_not_made_in_a_run(run, tmp_path, capsys):
    other = write_run(tmp_path / "other", 2)
    before = {folder: files(folder) for folder in (run, other)}
    for out in (run, other):
        assert f"{out} is a run; choose another folder" in create(capsys, run, "--out", out, "--gold", "0", code=2)
    assert {folder: files(folder) for folder in (run, other)} == before


def test_pictures_made_by_workers_are_the_same(run, tmp_path, capsys):
    create(capsys, run, "--out", tmp_path / "one", "--questions", "6", "--gold", "0")
    assert cli.main(["study", "create", str(run), "--out", str(tmp_path / "two"), "--questions", "6", "--gold", "0",
                     "--workers", "2"]) == 0  # fmt: skip
    assert files(tmp_path / "one" / "pictures") == files(tmp_path / "two" / "pictures")


def test_nothing_that_raters_see_tells_what_they_must_not_know(run, tmp_path, capsys):
    out = tmp_path / "study"
    create(capsys, f"secret-method={run}", "--out", out, "--questions", "30")
    study = load_study(out)
    seen = [study.shown(question) for question in study.questions]
    assert all(re.fullmatch(r"q\d{4}", one.id) for one in seen)
    assert all(re.fullmatch(r"[0-9a-f]{20}\.jpg", one.picture) for one in seen)
    first = {question.picture for question in study.questions if question.kind == "rated"}
    repeats = [question for question in study.questions if question.kind == "repeat"]
    assert all(one.picture in first for one in repeats)
    secrets = [b"secret-method", b"image0", str(run).encode(), b"gold", b"repeat", b"expected"]
    fetched = [*(out / "pictures").iterdir(), *(out / "instruction").iterdir()]
    assert fetched
    for path in fetched:
        content = path.read_bytes()
        assert not [secret for secret in secrets if secret in content]
    for path in (out / "pictures").iterdir():
        with Image.open(path) as image:
            assert not image.getexif()
            assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_gold_labels_are_of_other_photos(run, tmp_path, capsys):
    document = create(capsys, run, "--out", tmp_path / "study")
    assert list(document["gold"]) == ["far"]
    assert [note for note in document["notes"] if "nobody has checked them" in note]
    assert [note for note in document["notes"] if "always say 0 pass" in note]
    study = load_study(tmp_path / "study")
    gold = [question for question in study.questions if question.kind == "gold"]
    assert len(gold) == 4
    for question in gold:
        here = set().union(*map(words, labels_of(int(question.image[-3:]))))
        assert question.expected == (0, 1)  # a strange label may hold for a part of what is there
        assert not words(question.label) & here
        assert question.size != "small"


def test_gold_that_was_looked_at_goes_back(run, tmp_path, capsys):
    create(capsys, run, "--out", tmp_path / "first")
    text = (tmp_path / "first" / "gold.csv").read_text()
    kept = tmp_path / "gold.csv"
    kept.write_text("\n".join([*text.splitlines()[:3], "ours,image005,0,,3,", "ours,image006,1,a meadow,2|3,"]) + "\n")
    document = create(capsys, run, "--out", tmp_path / "second", "--gold-file", kept)
    assert list(document["gold"]) == ["file"]
    gold = [one for one in load_study(tmp_path / "second").questions if one.kind == "gold"]
    for batch in (1, 2):  # one that fits and one that does not
        assert sorted(max(one.expected) for one in gold if one.batch == batch) == [1, 3]
    fitting = {(one.image, one.label, one.expected) for one in gold if max(one.expected) == 3}
    assert fitting == {("image005", labels_of(5)[0], (3,)), ("image006", "a meadow", (2, 3))}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("ours,image099,0,,3", "line 2: no such segment"),
        ("ours,image001,7,,3", "line 2: no such segment"),
        ("ours,image001,x,,3", "line 2: no such segment"),
        (f"ours,image001,{'9' * 5000},,3", "line 2: no such segment"),
        ("ours,image001,0,,4", "line 2: expected is '4'"),
        ("ours,image001,0,,", "line 2: expected is ''"),
    ],
)
def test_gold_files_that_are_wrong(run, tmp_path, capsys, row, said):
    (tmp_path / "gold.csv").write_text(f"method,image,segment,label,expected\n{row}\n")
    assert said in create(capsys, run, "--out", tmp_path / "study", "--gold-file", tmp_path / "gold.csv", code=2)


def test_gold_files_of_spreadsheets(run, tmp_path, capsys):
    (tmp_path / "gold.csv").write_text("image;segment;expected\nimage001;0;3\n")
    said = create(capsys, run, "--out", tmp_path / "study", "--gold-file", tmp_path / "gold.csv", code=2)
    assert "must name the columns image, segment and expected, with commas between" in said
    (tmp_path / "gold.csv").write_text("image,segment,expected,label\nimage001,0,0,'=1+1\n")
    create(capsys, run, "--out", tmp_path / "study", "--gold-file", tmp_path / "gold.csv", "--gold", "1")
    gold = {(one.image, one.label) for one in load_study(tmp_path / "study").questions if one.kind == "gold"}
    assert gold == {("image001", "=1+1")}
    assert (tmp_path / "study" / "gold.csv").read_text().splitlines()[1] == "ours,image001,0,'=1+1,0,file"


def test_two_methods_have_equal_shares(run, tmp_path, capsys):
    photos = run / "photos"
    other = write_run(tmp_path / "other", IMAGES, labels=lambda number: ("thing",) * 4, photos=photos)
    arguments = (f"full={run}", f"plain={other}", "--questions", "24", "--per-image", "3", "--gold", "0")
    create(capsys, *arguments, "--out", tmp_path / "study")
    rated = [one for one in load_study(tmp_path / "study").questions if one.kind == "rated"]
    assert Counter(one.method for one in rated) == {"full": 12, "plain": 12}
    assert max(Counter(one.image for one in rated).values()) <= 3
    create(capsys, *arguments, "--methods", "plain", "--out", tmp_path / "one")
    assert {one.method for one in load_study(tmp_path / "one").questions} == {"plain"}
    assert 'no method "plane"' in create(capsys, *arguments, "--methods", "plane", "--out", tmp_path / "x", code=2)


def test_different_photos_of_one_name(run, tmp_path, capsys):
    other = write_run(tmp_path / "other", 1, boxes=BOXES[:2], labels=lambda number: ("a", "b"))
    with Image.open(other / "photos" / "image000.png") as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(other / "photos" / "image000.png")
    write_run(other, 1, boxes=BOXES[:2], labels=lambda number: ("a", "b"))
    assert 'different photos called "image000"' in create(capsys, run, other, "--out", tmp_path / "study", code=2)


def test_what_cannot_be_asked_is_counted(tmp_path, capsys):
    run = write_run(tmp_path / "run", 6, labels=lambda number: ("sky", "", "\x07", "cat"))
    (run / "photos" / "image000.png").unlink()
    (run / "results" / "image001.json").write_bytes(b"{")
    record = json.loads((run / "results" / "image002.json").read_bytes())
    (run / "results" / "image002.json").write_text(json.dumps({**record, "error": "broken"}))
    document = create(capsys, run, "--out", tmp_path / "study", "--gold", "0")
    assert document["rated"] == 6  # two segments of three images
    assert document["methods"]["run"]["left_out"] == {
        "images that failed in the run": 1,
        "images whose photo is not on this machine any more, or changed": 1,
        "images with a damaged record": 1,
        "segments without a label": 6,
    }
    shutil.rmtree(run / "photos")
    said = create(capsys, run, "--out", tmp_path / "none", "--gold", "0", code=2)
    assert "4 images whose photo is not on this machine" in said


def test_more_questions_than_there_are(run, tmp_path, capsys):
    document = create(capsys, run, "--out", tmp_path / "study", "--questions", "99", "--per-image", "2")
    assert document["rated"] == 24
    assert (
        "99 questions were asked for and the runs have 24 segments, at most 2 an image; all are in" in document["notes"]
    )


def test_folders_that_are_no_runs(tmp_path, run, capsys):
    assert "is no run" in create(capsys, tmp_path, "--out", tmp_path / "study", code=2)
    assert 'two methods are called "ours"' in create(capsys, run, run, "--out", tmp_path / "study", code=2)
    said = create(capsys, run, "--out", tmp_path / "study", "--score", "reassigned", code=2)
    assert "has no reassigned labels" in said


def test_the_instruction():
    html = instruction_html(lambda name: f"pictures/{name}")
    for score in SCALE:
        assert score.name in html
    assert sorted(example.score for example in EXAMPLES) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert sorted(re.findall(r'src="pictures/(\w+)\.jpg"', html)) == sorted(example.part for example in EXAMPLES)
    assert "style" not in html
    assert "<script" not in html


@pytest.mark.parametrize("part", PARTS)
def test_examples_are_marked(part):
    picture = example_picture(part)
    assert max(picture.shape[1::-1]) <= 640 + 250
    assert (picture == 255).all(axis=2).sum() > 500  # the white line
