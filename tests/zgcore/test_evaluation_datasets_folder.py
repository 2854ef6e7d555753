"""A plain folder of photos and masks."""

import os

import numpy as np
import pytest
from PIL import Image

from tests.zgcore.data_set_files import B, V, grey_png, palette_png, photo, write
from zgcore.errors import EvaluationError
from zgcore.evaluation.datasets import open_data_set

CLASSES = ("3\ttraffic light", "1\tcat", "7\tbackground", "9\tvoid")


def make(base, ids=((0, 1, 3), (7, 9, 255)), classes=CLASSES, names=("a",), png=palette_png):
    for name in names:
        photo(base / f"images/{name}.jpg")
        png(base / f"masks/{name}.png", ids)
    write(base / "classes.txt", *classes)
    return base


def index_map(base):
    data = open_data_set(f"folder:{base}")
    return data.truth(data.samples[0]).index_map.tolist()


def message(action, *values):
    with pytest.raises(EvaluationError) as caught:
        action(*values)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def opening(base):
    return message(open_data_set, f"folder:{base}")


def test_ids_become_indices_background_and_void(tmp_path):
    make(tmp_path)
    assert index_map(tmp_path) == [[V, 0, 1], [B, V, V]]
    data = open_data_set(f"folder:{tmp_path}")
    assert (data.name, data.classes, data.official, data.notes) == (
        "folder", ("cat", "traffic light"), ("cat", "traffic light"), (),
    )  # fmt: skip


def test_ids_are_those_of_the_list_in_the_order_of_the_classes(tmp_path):
    data = open_data_set(f"folder:{make(tmp_path)}")
    assert (data.classes, data.ids) == (("cat", "traffic light"), (1, 3))


def test_a_digest_knows_the_mask_and_what_its_ids_mean(tmp_path):
    def digest(**options):
        data = open_data_set(f"folder:{make(tmp_path, **options)}")
        return data.digest(data.samples[0])

    first = digest()
    assert first == digest()
    assert len(first) == 12
    assert first != digest(ids=((0, 1, 1), (7, 9, 255)))
    assert first != digest(classes=("2\ttraffic light", "1\tcat", "7\tbackground", "9\tvoid"))  # 3 is void
    data = open_data_set(f"folder:{make(tmp_path)}")
    (tmp_path / "masks" / "a.png").unlink()
    assert data.digest(data.samples[0]) == ""


def test_official_names_are_taken_from_their_own_list(tmp_path):
    make(tmp_path)
    write(tmp_path / "classes_official.txt", "0\tunlabelled\tunlabelled", "3\ttraffic-light-merged\tstuff")
    data = open_data_set(f"folder:{tmp_path}")
    assert (data.classes, data.official) == (("cat", "traffic light"), ("cat", "traffic-light-merged"))


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_grey_masks_of_any_depth_hold_ids_not_shades(tmp_path, bits):
    make(tmp_path, ids=[[0, 1, 1, 0, 1]], png=lambda path, ids: grey_png(path, ids, bits))
    assert index_map(tmp_path) == [[V, 0, 0, V, 0]]


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_grey_masks_of_two_bits_and_more_reach_id_3(tmp_path, bits):
    make(tmp_path, ids=[[3, 2, 1]], png=lambda path, ids: grey_png(path, ids, bits))
    assert index_map(tmp_path) == [[1, V, 0]], "2 lies in the list's range and is not in it: void"


def test_masks_of_16_bits_reach_ids_that_8_cannot(tmp_path):
    classes = ("255\tladder", "300\tlobster")
    make(tmp_path, [[300, 255, 256], [0, 65535, 299]], classes, png=lambda path, ids: grey_png(path, ids, 16))
    assert index_map(tmp_path) == [[1, 0, V], [V, V, V]]


def test_ids_beyond_the_list_are_refused(tmp_path):
    make(tmp_path, ids=[[1, 10, 11, 254]])
    data = open_data_set(f"folder:{tmp_path}")
    assert message(data.truth, data.samples[0]) == (
        f"{tmp_path}/masks/a.png: id 10 is none of the data set's (3 pixels are of such ids); add it to classes.txt, "
        "which ends at 9, or mend the mask"
    )


def test_a_mask_of_another_size_is_read_as_it_is(tmp_path):
    make(tmp_path, ids=np.ones((2, 9), int))  # the photo is 4 x 4
    assert np.shape(index_map(tmp_path)) == (2, 9)


def test_images_are_in_order_of_their_names_and_of_any_format(tmp_path):
    make(tmp_path, names=("b", "a"))
    for name, suffix in (("c", "PNG"), ("d", "webp")):
        Image.new("RGB", (4, 4)).save(tmp_path / f"images/{name}.{suffix}")
        palette_png(tmp_path / f"masks/{name}.png", [[1]])
    (tmp_path / "images/.DS_Store").touch()
    (tmp_path / "images/Thumbs.db").touch()
    assert [sample.name for sample in open_data_set(f"folder:{tmp_path}").samples] == ["a", "b", "c", "d"]


def test_names_that_no_report_could_print_are_refused(tmp_path):
    make(tmp_path, names=("a", "caf\udce9"))  # a byte that is not UTF-8
    assert opening(tmp_path).endswith("'caf\\udce9' is not a file's name; write names only, without folders")


def test_links_may_lead_elsewhere_and_broken_ones_are_missing(tmp_path):
    elsewhere = make(tmp_path / "disk", ids=[[1]])
    (tmp_path / "set/images").mkdir(parents=True)
    os.symlink(elsewhere / "masks", tmp_path / "set/masks")
    os.symlink(elsewhere / "images/a.jpg", tmp_path / "set/images/a.jpg")
    write(tmp_path / "set/classes.txt", *CLASSES)
    assert index_map(tmp_path / "set") == [[0]]
    (elsewhere / "images/a.jpg").unlink()
    assert opening(tmp_path / "set") == (
        f"{tmp_path}/set/images: holds no photo; the folder must hold images/, masks/ and classes.txt"
    )


def test_what_the_folder_must_hold(tmp_path):
    need = "the folder must hold images/, masks/ and classes.txt"
    assert opening(tmp_path) == f"{tmp_path}: has no images; {need}"
    photo(tmp_path / "images/a.jpg")
    assert opening(tmp_path) == f"{tmp_path}: has no masks; {need}"
    (tmp_path / "masks").touch()
    assert opening(tmp_path) == f"{tmp_path}/masks: cannot be listed (Not a directory); {need}"
    (tmp_path / "masks").unlink()
    palette_png(tmp_path / "masks/b.png", [[1]])
    assert opening(tmp_path) == f"{tmp_path}: has no classes.txt; {need}"


def test_photos_and_masks_must_come_in_pairs(tmp_path):
    make(tmp_path, names=("a", "b", "c"))
    (tmp_path / "masks/b.png").unlink()
    (tmp_path / "masks/c.png").rename(tmp_path / "masks/c.PNG")
    assert opening(tmp_path) == (f"{tmp_path}: 2 photo(s) without a mask, first b; add masks/b.png or remove the photo")
    make(tmp_path, names=("a", "b", "c", "d"))
    (tmp_path / "images/d.jpg").unlink()
    assert opening(tmp_path) == f"{tmp_path}: 1 mask(s) without a photo, first d; add images/d.jpg or remove the mask"
    photo(tmp_path / "images/a.png")
    assert opening(tmp_path) == f"{tmp_path}/images: holds both a.jpg and a.png; remove or rename one"


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (("1 cat",), "line 1: '1 cat' is not 'id TAB name'; write for example '7<TAB>traffic light'"),
        (("1\tcat", "", "x\tdog"), "line 3: 'x\\tdog' is not 'id TAB name'; write for example '7<TAB>traffic light'"),
        (("-1\tcat",), "line 1: '-1\\tcat' is not 'id TAB name'; write for example '7<TAB>traffic light'"),
        (("1\t ",), "line 1: '1\\t ' is not 'id TAB name'; write for example '7<TAB>traffic light'"),
        (("1\tc\x1b[2Jat",), "is not 'id TAB name'; write for example '7<TAB>traffic light'"),
        (("1\tcat", "1\tdog"), "line 2: 1 or 'dog' is listed twice; remove one"),
        (("1\tcat", "2\tCat"), "line 2: 2 or 'Cat' is listed twice; remove one"),
        (("0\tcat", "1\tdog"), "line 1: id 0 means void and cannot be 'cat'; number the classes from 1"),
        (("65536\tcat",), "line 1: id 65536 does not fit a mask; ids end at 65535"),
    ],
)
def test_lines_of_the_class_list_that_cannot_be_used(tmp_path, lines, says):
    make(tmp_path, classes=lines)
    assert opening(tmp_path).startswith(f"{tmp_path}/classes.txt, line ")
    assert opening(tmp_path).endswith(says)


@pytest.mark.parametrize("lines", [(), ("0\tunlabelled", "1\tBackground")])
def test_a_list_needs_a_class(tmp_path, lines):
    make(tmp_path, classes=lines)
    assert opening(tmp_path) == f"{tmp_path}/classes.txt: lists no class; write one 'id TAB name' a line"


def test_a_class_list_must_be_text(tmp_path):
    make(tmp_path)
    (tmp_path / "classes.txt").write_bytes(b"1\tcaf\xe9\n")
    assert opening(tmp_path).endswith("it must be a text file of 'id TAB name'")
    (tmp_path / "classes.txt").write_bytes("\ufeff1\tcafé\r\n".encode())  # as Windows' editor saves it
    assert open_data_set(f"folder:{tmp_path}").classes == ("café",)
