"""Parts of a data set: the same ones for everybody."""

from pathlib import Path

import pytest

from tests.zgcore.data_set_files import write
from zgcore.errors import EvaluationError
from zgcore.evaluation.datasets import PAPER, LabelledImages, subset
from zgcore.evaluation.datasets.label_files import read_ids
from zgcore.evaluation.datasets.labelled import IdFiles, IdTable
from zgcore.evaluation.ground_truth import Sample


def message(action, *values):
    with pytest.raises(EvaluationError) as caught:
        action(*values)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def data_of(*names):
    """A data set of which only the names matter."""
    table = IdFiles(Path("masks"), ".png", IdTable.of({1: 0}, ""), read_ids)
    return LabelledImages("folder", ("cat",), ("cat",), tuple(Sample(n, Path(f"{n}.jpg")) for n in names), table)


HUNDRED = tuple(f"p{number:02}" for number in range(100))


@pytest.fixture
def hundred():
    return data_of(*HUNDRED)


def names(samples):
    return [sample.name for sample in samples]


def test_the_first_and_all(hundred):
    assert names(subset(hundred, "first:3")) == ["p00", "p01", "p02"]
    assert len(subset(hundred, "all")) == len(subset(hundred, "first:100")) == 100


def test_random_images_are_the_same_for_ever(hundred):
    assert names(subset(hundred, "random:5")) == ["p03", "p30", "p66", "p79", "p80"]
    assert names(subset(hundred, "random:5", seed=7)) == ["p01", "p02", "p39", "p77", "p81"]


def test_more_random_images_contain_fewer_and_the_missing_change_nothing_else(hundred):
    twenty, fifty = names(subset(hundred, "random:20")), names(subset(hundred, "random:50"))
    assert set(twenty) < set(fifty)
    assert fifty == sorted(fifty)
    fewer = names(subset(data_of(*(name for name in HUNDRED if name != twenty[3])), "random:20"))
    assert len(set(fewer) - set(twenty)) == 1
    assert set(twenty) - set(fewer) == {twenty[3]}


def test_a_list_is_taken_in_the_order_of_the_data_set(hundred, tmp_path):
    listing = write(tmp_path / "mine.txt", "p42.jpg", "p07", "", "p99.png")
    assert names(subset(hundred, f"list:{listing}")) == ["p07", "p42", "p99"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("p1000", "p1000 is not an image of folder; did you mean p"),
        ("zebra.jpg", "zebra.jpg is not an image of folder; remove it"),
        ("../images/p01", "line 1: '../images/p01' is not a file's name; write names only, without folders"),
        ("", "lists no image; write one name a line"),
    ],
)
def test_lists_that_do_not_fit(hundred, tmp_path, line, says):
    listing = write(tmp_path / "mine.txt", line)
    assert says in message(subset, hundred, f"list:{listing}")


def test_subsets_that_cannot_be(hundred, tmp_path):
    known = "give one of all, first:COUNT, random:COUNT, list:FILE, paper-first-1000, paper-random-1000"
    for spec in ("", "some", "list:", "all:3", "paper-first-100"):
        assert message(subset, hundred, spec) == f"subset {spec!r} is not known; {known}"
    for spec in ("first:0", "random:101", "first:9999999"):
        assert message(subset, hundred, spec) == f"subset {spec!r}: folder has 100 images; give 1 to that many"
    for value in ("", "x", "-1", "1.5", "²"):
        assert message(subset, hundred, f"first:{value}") == (
            f"subset 'first:{value}': {value!r} is not a number of images; give for example first:100"
        )
    assert "mine.txt: cannot be read" in message(subset, hundred, f"list:{tmp_path}/mine.txt")


def test_the_papers_subsets_are_of_a_thousand_and_need_them(hundred):
    assert list(PAPER) == ["paper-first-1000", "paper-random-1000"]
    assert message(subset, hundred, "paper-first-1000") == (
        "subset 'paper-first-1000': folder has 100 images; give 1 to that many"
    )
    data = data_of(*HUNDRED, *(f"q{number}" for number in range(1000, 2100)))
    assert names(subset(data, "paper-first-1000"))[-2:] == ["q1898", "q1899"]
    drawn = names(subset(data, "paper-random-1000", seed=3))
    left_out = [name for name in names(data.samples) if name not in drawn]
    assert (len(drawn), left_out[:4]) == (1000, ["p04", "p05", "p09", "p12"])
