"""Tasks in, regions out, on a 4 x 4 image whose masks, scores and ids are worked out by hand."""

import json
import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ls_backend import brush
from ls_backend.labelling_config import parse_config
from ls_backend.people import PeoplePolicy
from ls_backend.protocol import (
    RAW_NOTE,
    REVIEW_NOTE,
    ImageRegions,
    PredictionOptions,
    TaskError,
    image_regions,
    mean_score,
    prediction,
    same_word,
    task_images,
    task_value,
)
from zgcore import Segmentation, SegmentTree
from zgcore.gallery import templates_folder
from zgcore.vocabulary import Decisions, Label, Member, Vocabulary

# A ring of eleven pixels around a block of four, and one corner.
INDEX = np.array([[0, 0, 0, 2], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]], dtype=np.int32)
NODES = (2, 3, 4)
TASK = {"id": 7, "data": {"image": "http://photos/a.jpg"}}
PALETTE = (
    '<Image name="image" value="$image"/><BrushLabels name="mask" toName="image"><Label value="obj 1"/>'
    '<Label value="obj 2"/></BrushLabels>'
)
CAPTION = '<TextArea name="caption" toName="image" perRegion="true"/>'


def config(*parts):
    found = parse_config(f"<View>{''.join(parts)}</View>")
    assert found.problems == ()
    return found


def closed(*labels, value=""):
    tags = "".join(f'<Label value="{label}"/>' for label in labels)
    brush_labels = f'<BrushLabels name="mask" toName="image" value="{value}">{tags}</BrushLabels>'
    return config('<Image name="image" value="$image"/>', brush_labels, CAPTION)


def segmentation(labels=("lawn", "red ball", "fence"), scores=(0.25, 0.5, -0.125), index=INDEX):
    return Segmentation(
        index_map=index,
        nodes=NODES,
        labels=labels,
        embeddings=np.zeros((3, 2), np.float32),
        scores=np.array(scores, np.float32),
        tree=SegmentTree(NODES, index),
        preset="mini",
    )


def predicted(config, segmentations=None, task=TASK, **options):
    found = [segmentation()] if segmentations is None else segmentations
    return prediction(task, found, config, "mini-1", PredictionOptions(**options))


def masks_of(document):
    return [entry for entry in document["result"] if entry["type"] == "brushlabels"]


def texts_of(document):
    return [entry["value"]["text"] for entry in document["result"] if entry["type"] == "textarea"]


def labels_of(document):
    return [entry["value"]["brushlabels"] for entry in masks_of(document)]


def test_every_key_of_a_region_and_its_text():
    document = predicted(config(PALETTE, CAPTION))
    assert document["model_version"] == "mini-1"
    assert document["score"] == 0.289062  # (11 * 0.25 + 4 * 0.5 - 0.125) / 16 = 0.2890625, half to even
    mask, text = document["result"][2:4]
    common = {
        "id": "image0-segment3",
        "to_name": "image",
        "original_width": 4,
        "original_height": 4,
        "image_rotation": 0,
        "score": 0.5,
    }
    value = {"format": "rle", "rle": brush.encode(INDEX == 1), "brushlabels": ["obj 2"]}
    assert mask == {**common, "from_name": "mask", "type": "brushlabels", "value": value}
    assert text == {**common, "from_name": "caption", "type": "textarea", "value": {"text": ["red ball"]}}
    assert json.loads(json.dumps(document, allow_nan=False)) == document


def test_masks_are_whole_ids_are_pairs_and_a_palette_starts_again():
    document = predicted(config(PALETTE, CAPTION))
    for number, entry in enumerate(masks_of(document)):
        assert np.array_equal(brush.decode(entry["value"]["rle"], 4, 4), number == INDEX)
    assert [entry["id"] for entry in document["result"]] == [
        f"image0-segment{node}" for node in NODES for _ in ("mask", "text")
    ]
    assert labels_of(document) == [["obj 1"], ["obj 2"], ["obj 1"]]
    assert texts_of(document) == [["lawn"], ["red ball"], ["fence"]]


def test_the_size_is_width_and_height_of_the_upright_image():
    index = np.array([[0, 1, 2]], dtype=np.int32)
    entry = masks_of(predicted(config(PALETTE), [segmentation(index=index)]))[0]
    assert (entry["original_width"], entry["original_height"]) == (3, 1)


def test_ids_do_not_depend_on_what_is_left_out():
    document = predicted(config(PALETTE), max_regions=1)
    assert [entry["id"] for entry in document["result"]] == ["image0-segment2"]
    document = predicted(config(PALETTE), [segmentation(index=INDEX.T[::-1].copy())], min_area=0.2)
    assert [entry["id"] for entry in document["result"]] == ["image0-segment2", "image0-segment3"]
    assert document["score"] == round((11 * 0.25 + 4 * 0.5) / 15, 6)


def test_without_a_text_field_the_text_is_a_note():
    document = predicted(config(PALETTE), [segmentation(labels=("lawn", "", "fence"))])
    assert [entry.get("meta") for entry in document["result"]] == [{"text": ["lawn"]}, None, {"text": ["fence"]}]


def test_a_segment_that_smoothing_leaves_no_pixel_is_left_out():
    index = np.zeros((400, 400), dtype=np.int32)
    index[:, 200:] = 1
    index[200, 50] = 2
    document = predicted(config(PALETTE), [segmentation(index=index)], smooth=True)
    assert [entry["id"] for entry in document["result"]] == ["image0-segment2", "image0-segment3"]
    filled = predicted(config(PALETTE), [segmentation(index=index)], fill_holes=1e-4)
    assert brush.decode(filled["result"][0]["value"]["rle"], 400, 400).sum() == 80_000


def test_a_score_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="segment 1 has the score nan"):
        predicted(config(PALETTE), [segmentation(scores=(0.5, float("nan"), 0.5))])


def test_what_was_kept_gives_the_same_prediction():
    options = PredictionOptions()
    regions = image_regions(segmentation(labels=("lawn", "Asian woman", "refugee camp")), options)
    document = json.loads(json.dumps(regions.to_document()))
    again = ImageRegions.from_document(document)
    assert again == regions
    made = prediction(TASK, [again], config(PALETTE, CAPTION), "mini-1", options)
    assert made == prediction(TASK, [regions], config(PALETTE, CAPTION), "mini-1", options)
    assert "sian" not in json.dumps(document)


def test_a_vocabulary_renames_keeps_the_raw_text_and_drops():
    lawn = Label("grass", (Member("grass", 3), Member("lawn", 2, "WordNet", 0.9)))
    vocabulary = Vocabulary((lawn, Label("fence", (Member("fence", 1),)))).decided(
        Decisions.from_document({"drop": ["fence"]})
    )
    found = segmentation(labels=("lawn", "Asian woman", "fence"))
    document = predicted(config(PALETTE, CAPTION), [found], vocabulary=vocabulary)
    assert texts_of(document) == [["grass"], ["person"]]
    assert [entry["id"] for entry in masks_of(document)] == ["image0-segment2", "image0-segment3"]
    assert masks_of(document)[0]["meta"] == {"text": [RAW_NOTE.format("lawn")]}
    assert "sian" not in json.dumps(document)
    assert texts_of(predicted(closed("grass", "dog"), [found], vocabulary=vocabulary)) == [["grass"]]


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"height": 1, "width": 1},
        {"height": 1, "width": 1, "regions": [{}]},
        {"height": 1, "width": 1, "regions": [{"rle": "%", "node": "1"}]},
        {"height": 1, "width": 1, "regions": [{"rle": "AAAA", "node": "1", "more": 1}]},
        {"height": "x", "width": 1, "regions": []},
    ],
)
def test_a_document_that_is_none_is_refused(document):
    with pytest.raises(ValueError, match="not a document of image regions"):
        ImageRegions.from_document(document)


# Labels that describe people


def test_the_original_of_a_label_about_people_does_not_reach_the_task():
    policy = PeoplePolicy()
    found = [segmentation(labels=("Asian woman", "homeless", "homeless shelter sign"))]
    document = predicted(config(PALETTE, CAPTION), found, people=policy)
    assert texts_of(document) == [["person"], ["person"], ["homeless shelter sign"]]
    assert [entry.get("meta") for entry in masks_of(document)] == [None, None, {"text": [REVIEW_NOTE]}]
    assert policy.counts == {"labels": 3, "replaced": 2, "flagged": 1}


def test_flagged_labels_stand_with_a_note():
    found = [segmentation(labels=("Asian woman", "lawn", "Asian elephant"))]
    document = predicted(config(PALETTE, CAPTION), found, people=PeoplePolicy("flag"))
    assert texts_of(document) == [["Asian woman"], ["lawn"], ["Asian elephant"]]
    assert [entry.get("meta") for entry in masks_of(document)] == [{"text": [REVIEW_NOTE]}, None, None]


def test_a_closed_list_is_not_made_to_describe_people_either():
    asked = []

    def match(choices, segments):
        asked.append((list(choices), list(segments.labels)))
        return [choices[0]] * 3

    found = [segmentation(labels=("asian woman", "lawn", "fence"))]
    document = predicted(closed("homeless person", "person", "lawn"), found, match=match)
    assert asked == [(["person", "lawn"], ["person", "lawn", "fence"])]
    assert labels_of(document) == [["person"]] * 3


# Labels


def test_a_closed_list_takes_what_matches_and_tells_how_much_is_left_out(caplog):
    caplog.set_level(logging.INFO)
    document = predicted(closed("Fence", "lawn", "sky"))
    assert labels_of(document) == [["lawn"], ["Fence"]]
    assert texts_of(document) == [["lawn"], ["fence"]]
    assert document["score"] == round((11 * 0.25 - 0.125) / 12, 6)
    assert "task 7: 1 of 3 regions of image 'image' match no label and are left out" in caplog.text


def test_a_closed_list_with_a_rest_keeps_everything_and_its_text():
    document = predicted(closed("lawn", "sky", "other"))
    assert labels_of(document) == [["lawn"], ["other"], ["other"]]
    assert texts_of(document) == [["lawn"], ["red ball"], ["fence"]]


def test_a_match_that_invents_labels_is_not_believed():
    document = predicted(closed("lawn", "sky"), match=lambda choices, segments: ["lawn", "moon", None])
    assert labels_of(document) == [["lawn"]]


def test_matching_by_spelling_ignores_case_and_spaces():
    assert same_word(["Red Ball ", "sky"], segmentation()) == [None, "Red Ball ", None]


THINGS = [{"value": "fence"}, {"value": "ball", "alias": "red ball"}, "lawn", {"alias": 3}, {"value": ""}]


def test_labels_may_come_from_the_task():
    document = predicted(closed(value="$things"), task={"id": 1, "data": {"image": "x", "things": THINGS}})
    assert labels_of(document) == [["red ball"], ["fence"]]  # "lawn", a bare string, gives the editor no label


def test_labels_of_the_config_go_before_those_of_the_task():
    task = {"id": 1, "data": {"image": "x", "things": THINGS}}
    assert labels_of(predicted(closed("lawn", "sky", value="$things"), task=task)) == [["lawn"]]


def test_a_task_without_the_labels_it_should_bring_gets_no_masks(caplog):
    document = predicted(closed(value="$things"))
    assert document == {"model_version": "mini-1", "score": 0.0, "result": []}
    assert "task 7: no labels for image 'image' in its data: no masks" in caplog.text


# Images of a task


TWO_IMAGES = config(
    '<Image name="left" value="$a"/><Image name="right" value="$b"/>',
    '<BrushLabels name="ml" toName="left"><Label value="x"/></BrushLabels>',
    '<BrushLabels name="mr" toName="right"><Label value="y"/></BrushLabels>',
    '<TextArea name="tl" toName="left" perRegion="true"/><TextArea name="tr" toName="right" perRegion="true"/>',
)


def test_two_images_of_a_task_get_regions_of_their_own():
    task = {"id": 1, "data": {"a": "1.jpg", "b": "2.jpg"}}
    assert [(image.reference, image.target.image.name) for image in task_images(task, TWO_IMAGES)] == [
        ("1.jpg", "left"),
        ("2.jpg", "right"),
    ]
    document = predicted(TWO_IMAGES, [segmentation(), segmentation()], task)
    names = [(entry["to_name"], entry["from_name"]) for entry in document["result"]]
    assert names == [("left", "ml"), ("left", "tl")] * 3 + [("right", "mr"), ("right", "tr")] * 3
    assert len({entry["id"] for entry in document["result"]}) == 6


def test_an_image_that_failed_leaves_the_others_as_they_are():
    task = {"id": 1, "data": {"a": "1.jpg", "b": "2.jpg"}}
    both = predicted(TWO_IMAGES, [segmentation(), segmentation()], task)
    one = predicted(TWO_IMAGES, [None, segmentation()], task)
    assert one["result"] == both["result"][6:]


def test_an_image_that_the_task_lacks_is_left_out():
    (image,) = task_images({"id": 1, "data": {"a": None, "b": "2.jpg"}}, TWO_IMAGES)
    assert image.target.image.name == "right"


def test_a_list_of_images_numbers_its_regions():
    pages = config(
        '<Image name="pages" valueList="$pages"/><BrushLabels name="m" toName="pages"><Label value="x"/></BrushLabels>'
    )
    task = {"id": 1, "data": {"pages": ["1.jpg", "", "3.jpg"]}}
    assert [(image.item, image.reference) for image in task_images(task, pages)] == [(0, "1.jpg"), (2, "3.jpg")]
    document = predicted(pages, [segmentation(), segmentation()], task, max_regions=1)
    assert [(entry["item_index"], entry["id"]) for entry in document["result"]] == [
        (0, "image0-segment2"),
        (2, "image1-segment2"),
    ]


@pytest.mark.parametrize(
    "data", [{}, {"image": ""}, {"image": None}, {"image": ["x"]}, {"image": {"url": "x"}}, None, []]
)
def test_a_task_without_its_image_is_an_error_that_names_what_is_asked_for(data):
    with pytest.raises(TaskError, match=r'^task 3: its data has no image; the labelling config asks for "\$image"$'):
        task_images({"id": 3, "data": data}, config(PALETTE))


def test_as_many_segmentations_as_images():
    with pytest.raises(ValueError, match="shorter"):
        predicted(config(PALETTE), [])


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("$image", "a.jpg"),
        ("$photos[1].url", "2.jpg"),
        ("$meta.size", {"w": 3}),
        ("$a.b", "spelt like the path"),
        ("https://host/$image?n=$n", "https://host/a.jpg?n=5"),
        ("https://host/a.jpg", "https://host/a.jpg"),
        ("https://host/$nothing", None),
        ("$photos[2].url", None),
        ("$photos[99999999999999999999].url", None),
        ("$photos.url", None),
        ("$image.url", None),
        ("x$meta", None),
    ],
)
def test_values_are_read_as_the_editor_reads_them(expression, value):
    photos = [{"url": "1.jpg"}, {"url": "2.jpg"}]
    data = {"image": "a.jpg", "photos": photos, "n": 5, "meta": {"size": {"w": 3}}, "a": {"b": 1}}
    data["a.b"] = "spelt like the path"
    assert task_value(expression, data) == value


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["image", "a", "b"]), inner)),
    max_leaves=10,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(["id", "data"]), JSON))
def test_any_task_gives_images_or_the_one_error(task):
    try:
        images = task_images(task, config(PALETTE))
    except TaskError:
        return
    assert [image.reference for image in images] == [task["data"]["image"]]


def test_the_mean_score_weighs_by_pixels():
    assert mean_score([(1.0, 3), (0.0, 1)]) == 0.75
    assert mean_score([]) == 0.0


@pytest.mark.parametrize("name", ["free_text.xml", "free_text_prompts.xml", "closed_list.xml"])
def test_predictions_for_the_templates_name_only_what_they_have(name):
    xml = (templates_folder() / name).read_text("utf-8")
    document = predicted(parse_config(xml))
    assert len(document["result"]) == 6
    assert {entry["from_name"] for entry in document["result"]} == {"mask", "caption"}
    for labels in labels_of(document):
        assert f'<Label value="{labels[0]}"' in xml
