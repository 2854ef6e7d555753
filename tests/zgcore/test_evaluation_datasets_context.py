"""Pascal Context in each of its forms, and the MATLAB files that it comes in; index maps are worked out by hand."""

import struct

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat, savemat

from tests.zgcore.data_set_files import (
    V,
    grey_png,
    label_map,
    maps,
    message,
    photo,
    truth_message,
    write,
)
from zgcore.class_lists import class_list
from zgcore.errors import EvaluationError
from zgcore.evaluation.datasets import open_data_set
from zgcore.evaluation.datasets.label_files import read_label_map

FIRST, SECOND = "2008_000002", "2008_000003"
# Pascal Context's numbers of the 459: 2 aeroplane, 25 bird, 360 sky, 397 table, 19 bedclothes, 290 pillow, 0 nothing
IDS_459 = [[2, 25, 360, 397], [19, 290, 0, 2]]
MAP_59 = [[0, 6, 46, 49], [3, V, V, 0]]  # in the order of the 459; pillow is none of the 59
MAP_459 = [[1, 24, 359, 396], [18, 289, V, 1]]
# the same picture in both published orders of the 59
IDS_DETAIL = [[1, 7, 47, 50], [4, 0, 0, 1]]
IDS_FCN = [[1, 3, 50, 11], [52, 0, 0, 1]]


def make_context(base, names=(FIRST,)):
    for name in names:
        photo(base / f"JPEGImages/{name}.jpg")
    write(base / "ImageSets/Main/val.txt", *names)


@pytest.mark.parametrize("inside", ["", "VOC2010", "VOCdevkit/VOC2010"])
@pytest.mark.parametrize("beside", [True, False])
def test_the_official_files_give_59_classes_by_name_and_459(tmp_path, inside, beside):
    make_context(tmp_path / inside)
    label_map((tmp_path if beside else tmp_path / inside) / f"trainval/{FIRST}.mat", IDS_459)
    assert maps("pc59", tmp_path) == {FIRST: MAP_59}
    assert maps("pc459", tmp_path) == {FIRST: MAP_459}
    assert open_data_set(f"pc459:{tmp_path}").ids == tuple(range(1, 460))
    assert open_data_set(f"pc59:{tmp_path}").ids == ()  # they are numbered in two ways


def test_both_published_orders_of_the_59_give_the_same_map(tmp_path):
    make_context(tmp_path)
    grey_png(tmp_path / f"SegmentationClassContext/{FIRST}.png", IDS_DETAIL)
    assert maps("pc59", tmp_path) == {FIRST: MAP_59}
    grey_png(tmp_path / f"59_context_labels/{FIRST}.png", IDS_FCN)  # found before the converted ones
    assert maps("pc59", tmp_path) == {FIRST: MAP_59}
    data = open_data_set(f"pc59:{tmp_path}")
    assert data.name == "pc59"
    assert [data.classes[k] for k in data.truth(data.samples[0]).classes] == [
        "aeroplane", "bedding", "bird", "sky", "table",
    ]  # fmt: skip


def test_the_official_png_are_read_by_the_list_that_lies_beside_them(tmp_path):
    make_context(tmp_path)
    spelt = {"table": "diningtable", "bedclothes": "bedcloth", "cloth": "clothes"}
    listed = [spelt.get(c.official, c.official) for c in class_list("pascal_context_59_fcn_order")]
    backwards = [f"{number}: {name}" for number, name in enumerate(reversed(listed), start=1)]
    labels = write(tmp_path / "59_labels.txt", *backwards)
    grey_png(tmp_path / f"59_context_labels/{FIRST}.png", [[60 - 11, 60 - 52, 60 - 28, 0]])
    # table 49, bedclothes 3, cloth 17 in the order of the 459
    assert maps("pc59", tmp_path) == {FIRST: [[49, 3, 17, V]]}
    write(labels, "1: aeroplane", "2: spaceship")
    assert message("pc59", tmp_path).startswith(f"{labels}: is not the list of the 59 classes (")
    write(labels, "x: aeroplane")
    assert message("pc59", tmp_path).endswith("its lines are '1: aeroplane'")


def test_the_converters_split_goes_before_vocs(tmp_path):
    make_context(tmp_path, (FIRST, SECOND))
    for name in (FIRST, SECOND):
        label_map(tmp_path / f"trainval/{name}.mat", IDS_459)
    assert list(maps("pc59", tmp_path)) == [FIRST, SECOND]
    write(tmp_path / "ImageSets/SegmentationContext/val.txt", SECOND)
    assert list(maps("pc59", tmp_path)) == [SECOND]


@pytest.mark.parametrize("inside", ["", "pascal_ctx_d2"])
def test_the_open_vocabulary_systems_copies(tmp_path, inside):
    base = tmp_path / inside
    photo(base / f"images/validation/{FIRST}.jpg")
    shifted = np.array(IDS_DETAIL, np.uint8) - np.uint8(1)  # 0 becomes 255
    grey_png(base / f"annotations_ctx59/validation/{FIRST}.png", shifted)
    path = base / f"annotations_ctx459/validation/{FIRST}.tif"
    path.parent.mkdir(parents=True)
    Image.fromarray(np.array(IDS_459, np.uint16) - np.uint16(1)).save(path)  # 0 becomes 65535
    assert maps("pc59", tmp_path) == {FIRST: MAP_59}
    assert maps("pc459", tmp_path) == {FIRST: MAP_459}


def test_pascal_context_says_what_is_missing(tmp_path):
    assert (
        "has no JPEGImages or VOCdevkit/VOC2010/JPEGImages or VOC2010/JPEGImages; get VOCtrainval_03-May-2010.tar"
        in (message("pc59", tmp_path))
    )
    photo(tmp_path / f"JPEGImages/{FIRST}.jpg")
    assert "has no ImageSets/SegmentationContext/val.txt or ImageSets/Main/val.txt; get" in message("pc59", tmp_path)
    make_context(tmp_path)
    assert "has no trainval or 59_context_labels or SegmentationClassContext; get" in message("pc59", tmp_path)
    grey_png(tmp_path / f"SegmentationClassContext/{FIRST}.png", IDS_DETAIL)
    assert message("pc459", tmp_path).startswith(f"{tmp_path}: has no trainval; get ")
    assert "https://cs.stanford.edu/~roozbeh/pascal-context/trainval.tar.gz" in message("pc459", tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"Labels": np.zeros((2, 2), np.uint16)}, "has no LabelMap; take trainval/*.mat of Pascal Context"),
        ({"LabelMap": np.zeros((2, 2))}, "its LabelMap is not of whole numbers"),
        ({"LabelMap": np.full((2, 2), 70_000, np.int32)}, "its LabelMap goes beyond ids of 0 to 65535"),
        ({"LabelMap": np.full((2, 2), -1, np.int16)}, "its LabelMap goes beyond ids of 0 to 65535"),
        ({"LabelMap": np.array([["ab"], ["cd"]], object)}, "its LabelMap is not of whole numbers"),
        ({"LabelMap": np.full((2, 2), 1j)}, "its LabelMap is not of whole numbers"),
        ({"LabelMap": np.zeros((2, 2, 3), np.uint16)}, "its labels are 2 x 2 x 3, not height x width"),
        ({"LabelMap": np.full((2, 2), 460, np.uint16)}, "id 460 is none of the data set's (4 pixels"),
    ],
)
def test_matlab_files_that_are_something_else(tmp_path, content, says):
    make_context(tmp_path)
    path = tmp_path / f"trainval/{FIRST}.mat"
    path.parent.mkdir()
    savemat(path, content)
    assert says in truth_message("pc459", tmp_path)


def test_a_damaged_matlab_file_is_named_and_never_read_wrongly(tmp_path):
    make_context(tmp_path)
    path = tmp_path / f"trainval/{FIRST}.mat"
    label_map(path, IDS_459)
    whole = path.read_bytes()
    data = open_data_set(f"pc59:{tmp_path}")
    assert data.truth(data.samples[0]).index_map.tolist() == MAP_59
    header, packed_to = 136, len(whole)  # 128 bytes of header and 8 of tag; then one compressed element with checksum
    damaged = [whole[:keep] for keep in range(0, packed_to, 7)]
    damaged += [whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :] for at in range(header, packed_to)]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(EvaluationError) as caught:
            data.truth(data.samples[0])
        assert str(caught.value).startswith(f"{path}: ")
    path.write_bytes(whole[:-5])
    assert truth_message("pc59", tmp_path) == f"{path}: is damaged, or not a MATLAB 5 file; copy or unpack it again"


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4"])
@pytest.mark.parametrize("compressed", [True, False])
def test_matlab_files_are_read_as_scipy_reads_them(tmp_path, dtype, compressed):
    path = tmp_path / "a.mat"
    ids = np.random.default_rng(5).integers(0, 128, (7, 3)).astype(dtype)
    savemat(path, {"Before": np.eye(2), "LabelMap": ids, "After": 3}, do_compression=compressed)
    assert loadmat(path)["LabelMap"].tolist() == ids.tolist()
    found = read_label_map(path)
    assert (found.dtype, found.tolist()) == (np.uint16, ids.tolist())


def test_matlab_files_of_the_other_byte_order_with_small_elements_and_narrow_numbers(tmp_path):
    element = struct.pack(">IIII", 6, 8, 11, 0)  # flags: class uint16
    element += struct.pack(">IIii", 5, 8, 1, 3)  # 1 x 3
    element += struct.pack(">II8s", 1, 8, b"LabelMap")
    element += struct.pack(">HH4B", 3, 2, 7, 200, 9, 0)  # three bytes, stored in the tag itself
    path = tmp_path / "a.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\x01\x00MI" + struct.pack(">II", 14, len(element)) + element)
    assert loadmat(path)["LabelMap"].tolist() == [[7, 200, 9]]
    assert read_label_map(path).tolist() == [[7, 200, 9]]


def test_a_matlab_file_of_monstrous_size_is_refused_before_it_is_unpacked(tmp_path):
    make_context(tmp_path)
    path = tmp_path / f"trainval/{FIRST}.mat"
    path.parent.mkdir()
    savemat(path, {"LabelMap": np.zeros((2, 2), np.uint16)})
    content = bytearray(path.read_bytes())
    # 128 bytes of file header, 8 of matrix tag, 16 of flags, 8 of the dimensions' tag, then height and width
    assert content[160:168] == struct.pack("<ii", 2, 2)
    content[160:168] = struct.pack("<ii", 60_000, 60_000)
    path.write_bytes(content)
    assert truth_message("pc459", tmp_path) == f"{path}: 60000 x 60000 is more than the limit of 100,000,000 pixels"


def test_a_matlab_file_whose_numbers_are_not_as_many_as_its_shape_says(tmp_path):
    make_context(tmp_path)
    path = tmp_path / f"trainval/{FIRST}.mat"
    path.parent.mkdir()
    savemat(path, {"LabelMap": np.ones((2, 2), np.uint16)})
    content = bytearray(path.read_bytes())
    content[160:168] = struct.pack("<ii", 2, 3)
    path.write_bytes(content)
    assert truth_message("pc59", tmp_path) == f"{path}: is damaged, or not a MATLAB 5 file; copy or unpack it again"
