"""Opening data sets, Pascal VOC and ADE20K on files of their formats; index maps are worked out by hand."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.zgcore.data_set_files import (
    B,
    V,
    grey_png,
    maps,
    message,
    palette_png,
    photo,
    png_header,
    truth_message,
    write,
)
from zgcore.errors import EvaluationError
from zgcore.evaluation.datasets import open_data_set
from zgcore.evaluation.datasets.ade import PUBLISHED as ADE
from zgcore.evaluation.datasets.coco import PUBLISHED as COCO
from zgcore.evaluation.datasets.coco_stuff import PUBLISHED as STUFF
from zgcore.evaluation.datasets.layout import samples_of
from zgcore.evaluation.datasets.pascal_context import PUBLISHED as CONTEXT
from zgcore.evaluation.datasets.voc import PUBLISHED as VOC

FIRST, SECOND = "2008_000002", "2008_000003"


def make_voc(base, ids=((0, 1, 20), (15, 255, 0)), names=(FIRST,)):
    for name in names:
        photo(base / f"JPEGImages/{name}.jpg")
        palette_png(base / f"SegmentationClass/{name}.png", ids)
    write(base / "ImageSets/Segmentation/val.txt", *names)


# --- Pascal VOC


@pytest.mark.parametrize("inside", ["", "VOC2012", "VOCdevkit/VOC2012"])
def test_voc_has_background_and_void_and_opens_from_the_folders_above(tmp_path, inside):
    make_voc(tmp_path / inside)
    assert maps("voc", tmp_path) == {FIRST: [[B, 0, 19], [14, V, B]]}


def test_voc_names_are_for_reading_and_for_tables(tmp_path):
    make_voc(tmp_path)
    data = open_data_set(f"voc:{tmp_path}")
    assert data.name == "voc"
    assert (data.classes[10], data.official[10]) == ("dining table", "diningtable")
    assert len(data.classes) == len(data.official) == 20
    assert data.ids == tuple(range(1, 21))
    truth = data.truth(data.samples[0])
    assert truth.index_map.dtype == np.int32
    assert truth.classes == (0, 14, 19)
    assert data.samples[0].image == tmp_path / f"JPEGImages/{FIRST}.jpg"


def test_voc_follows_the_order_of_its_list(tmp_path):
    make_voc(tmp_path, names=(SECOND, FIRST))
    assert [sample.name for sample in open_data_set(f"voc:{tmp_path}").samples] == [SECOND, FIRST]


def test_a_data_set_can_be_sent_to_a_worker(tmp_path):
    make_voc(tmp_path)
    data = pickle.loads(pickle.dumps(open_data_set(f"voc:{tmp_path}")))
    assert data.truth(data.samples[0]).classes == (0, 14, 19)


def test_a_part_of_voc_opens_with_a_note_that_says_what_is_missing(tmp_path, caplog):
    make_voc(tmp_path)
    write(tmp_path / "ImageSets/Segmentation/val.txt", FIRST, SECOND)
    data = open_data_set(f"voc:{tmp_path}")
    note = (
        f"{tmp_path}: 1 of 1,449 images (missing, first: the photo of {SECOND} and the truth of {SECOND}); figures are "
        f"not those of the whole set; {VOC.cure}"
    )
    assert data.notes == (note,)
    assert caplog.messages == [note]


def test_voc_says_what_is_missing_and_where_to_get_it(tmp_path):
    get = "get VOCtrainval_11-May-2012.tar (2 GB) from http://host.robots.ox.ac.uk/pascal/VOC/voc2012/ and unpack it there"  # noqa: E501
    assert VOC.cure == get
    places = "JPEGImages or VOCdevkit/VOC2012/JPEGImages or VOC2012/JPEGImages"
    assert message("voc", tmp_path) == f"{tmp_path}: has no {places}; {get}"
    photo(tmp_path / f"JPEGImages/{FIRST}.jpg")
    assert message("voc", tmp_path) == f"{tmp_path}: has no SegmentationClass; {get}"
    (tmp_path / "SegmentationClass").mkdir()
    assert message("voc", tmp_path) == f"{tmp_path}: has no ImageSets/Segmentation/val.txt; {get}"
    write(tmp_path / "ImageSets/Segmentation/val.txt", FIRST)
    assert message("voc", tmp_path) == f"{tmp_path}: no image has both photo and truth; {get}"


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", ".hidden", "a\\b", "a\x07"])
def test_a_list_cannot_lead_out_of_the_folder(tmp_path, name):
    make_voc(tmp_path)
    listing = write(tmp_path / "ImageSets/Segmentation/val.txt", FIRST, "", name)
    assert message("voc", tmp_path) == (
        f"{listing}, line 3: {name!r} is not a file's name; write names only, without folders"
    )


def test_a_list_may_not_name_an_image_twice_and_must_be_text(tmp_path):
    make_voc(tmp_path)
    listing = write(tmp_path / "ImageSets/Segmentation/val.txt", FIRST, SECOND, FIRST)
    assert message("voc", tmp_path) == f"{listing}, line 3: {FIRST} stands in line 1 already; remove one"
    listing.write_bytes(b"\xff\xfe\x00")
    assert message("voc", tmp_path).startswith(f"{listing}: cannot be read (")


def test_voc_refuses_ids_that_it_does_not_have(tmp_path):
    make_voc(tmp_path, ids=((0, 21), (22, 255)))
    assert truth_message("voc", tmp_path) == (
        f"{tmp_path}/SegmentationClass/{FIRST}.png: id 21 is none of the data set's (2 pixels are of such ids); take "
        "VOC's own SegmentationClass (0..20 and 255), not SegmentationObject or colours"
    )


# --- files of ids


def test_a_truth_in_colours_is_refused(tmp_path):
    make_voc(tmp_path)
    Image.new("RGB", (4, 4)).save(tmp_path / f"SegmentationClass/{FIRST}.png")
    assert truth_message("voc", tmp_path).endswith(
        "is a picture of mode RGB; it must be an indexed or grey image; save class ids, not colours"
    )


@pytest.mark.parametrize("keep", [0, 4, 40, -30])
def test_a_damaged_truth_is_named(tmp_path, keep):
    make_voc(tmp_path)
    path = tmp_path / f"SegmentationClass/{FIRST}.png"
    grey_png(path, np.arange(4096).reshape(64, 64) % 20)
    path.write_bytes(path.read_bytes()[:keep])
    assert truth_message("voc", tmp_path) == f"{path}: is no PNG, or damaged or cut short; copy or unpack it again"


def test_a_truth_that_goes_away_and_one_of_monstrous_size_are_named(tmp_path):
    make_voc(tmp_path)
    path = tmp_path / f"SegmentationClass/{FIRST}.png"
    path.write_bytes(png_header(60_000, 60_000))
    assert truth_message("voc", tmp_path) == f"{path}: 60000 x 60000 is more than the limit of 100,000,000 pixels"
    data = open_data_set(f"voc:{tmp_path}")
    path.unlink()
    with pytest.raises(EvaluationError, match=r"\.png: is missing, or not a file; copy or unpack it again$"):
        data.truth(data.samples[0])


# --- ADE20K


@pytest.mark.parametrize("inside", ["", "ADEChallengeData2016"])
def test_ade_counts_from_one_and_other_is_void(tmp_path, inside):
    photo(tmp_path / inside / "images/validation/ADE_val_00000001.jpg")
    grey_png(tmp_path / inside / "annotations/validation/ADE_val_00000001.png", [[0, 1, 150], [3, 3, 0]])
    assert maps("ade", tmp_path) == {"ADE_val_00000001": [[V, 0, 149], [2, 2, V]]}
    data = open_data_set(f"ade:{tmp_path}")
    assert (data.name, data.classes[2], len(data.classes)) == ("ade", "sky", 150)
    assert data.ids == tuple(range(1, 151))


def test_ade_says_what_is_missing_and_refuses_converted_labels(tmp_path):
    assert message("ade", tmp_path) == (
        f"{tmp_path}: has no images/validation or ADEChallengeData2016/images/validation; {ADE.cure}"
    )
    assert ADE.cure.startswith("get http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip (1 GB)")
    photo(tmp_path / "images/validation/a.jpg")
    assert message("ade", tmp_path) == f"{tmp_path}: has no annotations/validation; {ADE.cure}"
    grey_png(tmp_path / "annotations/validation/a.png", [[255, 1]])
    grey_png(tmp_path / "annotations/validation/b.png", [[1, 1]])
    assert "1 of 2,000 images (missing, first: the photo of b)" in open_data_set(f"ade:{tmp_path}").notes[0]
    assert truth_message("ade", tmp_path).endswith(
        "id 255 is none of the data set's (1 pixels are of such ids); take annotations/validation of "
        "ADEChallengeData2016 (0..150), not a converted or the full ADE20K"
    )


# --- counts


@pytest.mark.parametrize(
    ("published", "images"),
    [(VOC, 1449), (CONTEXT, 5105), (CONTEXT, 5104), (COCO, 5000), (STUFF, 5000), (ADE, 2000)],
)
def test_a_split_of_the_published_size_has_no_note_and_one_less_has(published, images):
    names = [f"n{number:04}" for number in range(images)]
    photos = {name: Path(f"{name}.jpg") for name in names}
    samples, notes = samples_of(names, photos, set(names), published, Path("set"))
    assert (len(samples), notes) == (images, ())
    whole = " or ".join(f"{number:,}" for number in published.images)
    cut = {name: photos[name] for name in names[2:]}
    samples, notes = samples_of(names, cut, set(names), published, Path("set"))
    assert samples[0].name == "n0002"
    assert notes == (
        f"set: {images - 2:,} of {whole} images (missing, first: the photo of n0000); figures are not those of the "
        f"whole set; {published.cure}",
    )


# --- naming a data set


def test_a_data_set_is_named_by_kind_and_folder(tmp_path):
    forms = "give folder:DIR, voc:DIR, pc59:DIR, pc459:DIR, coco:DIR, coco171:DIR, ade:DIR"
    for spec, meant in (("vok:x", " (did you mean voc:DIR?)"), ("voc", ""), ("voc:", ""), ("", "")):
        with pytest.raises(EvaluationError) as caught:
            open_data_set(spec)
        assert str(caught.value) == f"data set {spec!r} is not known{meant}; {forms}"
    with pytest.raises(EvaluationError) as caught:
        open_data_set(f"ade:{tmp_path}/none")
    assert str(caught.value) == f"ade:{tmp_path}/none: there is no folder {tmp_path}/none; check the spelling"
