"""Labelling configs as projects have them: the ones that ship, odd ones, hostile ones."""

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ls_backend.labelling_config import (
    MAX_CHARACTERS,
    BrushControl,
    ImageTag,
    LabellingConfig,
    MaskTarget,
    TextControl,
    catch_all,
    label_kind,
    parse_config,
)
from zgcore.gallery import templates_folder

IMAGE = '<Image name="image" value="$image"/>'
BRUSH = '<BrushLabels name="mask" toName="image"><Label value="obj 1"/><Label value="obj 2"/></BrushLabels>'
FREE_TEXT = ("free_text.xml", "free_text_prompts.xml")
CAPTION = '<TextArea name="caption" toName="image" perRegion="true"/>'


def view(*parts):
    return f"<View>{''.join(parts)}</View>"


def template(name):
    return parse_config((templates_folder() / name).read_text("utf-8"))


def test_a_small_config_is_read_in_full():
    image = ImageTag("image", "$image")
    brush = BrushControl("mask", ("image",), ("obj 1", "obj 2"))
    text = TextControl("caption", ("image",), per_region=True)
    assert parse_config(view(IMAGE, BRUSH, CAPTION)) == LabellingConfig(
        images=(image,), targets=(MaskTarget(image, brush, text),)
    )


@pytest.mark.parametrize("name", FREE_TEXT)
def test_the_free_text_templates_carry_masks_and_text(name):
    config = template(name)
    (target,) = config.targets
    assert (target.image.value, target.brush.name, target.text.name) == ("$image", "mask", "caption")
    assert target.brush.labels == tuple(f"obj {number}" for number in range(1, 21))
    assert label_kind(target.brush.labels) == "palette"
    assert (config.problems, config.hints) == ((), ())


def test_both_free_text_templates_have_the_same_palette():
    one, other = (ET.parse(templates_folder() / name).find("BrushLabels") for name in FREE_TEXT)
    assert ET.tostring(one) == ET.tostring(other)


def test_the_closed_list_template_is_a_closed_list_with_a_rest():
    (target,) = template("closed_list.xml").targets
    assert label_kind(target.brush.labels) == "closed"
    assert catch_all(target.brush.labels) == "other"
    assert target.text is not None


def test_the_rating_template_says_that_it_carries_no_masks():
    config = template("rating.xml")
    assert config.targets == ()
    assert config.problems[0].startswith("masks need a BrushLabels control and the config has no control; add <Brush")


def test_names_are_read_in_any_case_and_labels_at_any_depth():
    xml = view(
        '<image NAME="photo" VALUE="$photo"/>',
        '<brushlabels name="m" toname="photo"><View><Label value="cat"/><LABEL value="dog" alias="hund"/></View>'
        '<Label value="cat"/></brushlabels>',
        '<textarea name="t" toname="photo" perregion="TRUE"/>',
    )
    (target,) = parse_config(xml).targets
    assert target.brush.labels == ("cat", "hund")  # results carry the alias
    assert target.text == TextControl("t", ("photo",), per_region=True)


def test_several_images_have_their_own_controls():
    xml = view(
        '<Image name="left" value="$a"/><Image name="right" value="$b"/><Image name="bare" value="$c"/>',
        '<BrushLabels name="ml" toName="left"><Label value="x"/></BrushLabels>',
        '<BrushLabels name="mr" toName="right"><Label value="y"/></BrushLabels>',
        '<TextArea name="t" toName="right" perRegion="true"/>',
    )
    config = parse_config(xml)
    found = [(target.image.name, target.brush.name, target.text and target.text.name) for target in config.targets]
    assert found == [("left", "ml", None), ("right", "mr", "t")]


def test_one_control_may_serve_several_images():
    xml = view(
        '<Image name="a" value="$a"/><Image name="b" value="$b"/>',
        '<BrushLabels name="m" toName="a, b"><Label value="x"/></BrushLabels>',
    )
    assert [(target.image.name, target.brush.name) for target in parse_config(xml).targets] == [("a", "m"), ("b", "m")]


def test_a_list_of_images_is_seen():
    (image,) = parse_config(view('<Image name="pages" valueList="$pages"/>')).images
    assert image == ImageTag("pages", "$pages", several=True)


def test_dynamic_labels_are_seen_beside_static_ones():
    xml = view(IMAGE, '<BrushLabels name="m" toName="image" value="$labels"><Label value="object"/></BrushLabels>')
    (target,) = parse_config(xml).targets
    assert (target.brush.labels, target.brush.dynamic) == (("object",), "$labels")


def test_a_text_for_other_regions_is_not_ours():
    xml = view(
        IMAGE,
        BRUSH,
        '<TextArea name="boxes" toName="image" perRegion="true" whenTagName="box"/>',
        '<TextArea name="masks" toName="image" perRegion="true" whenTagName="mask"/>',
    )
    assert parse_config(xml).targets[0].text.name == "masks"


@pytest.mark.parametrize("extra", ['whenLabelValue="obj 1"', 'whenChoiceValue="yes"'])
def test_a_text_for_some_regions_does_not_take_all_texts(extra):
    some = f'<TextArea name="some" toName="image" perRegion="true" {extra}/>'
    assert parse_config(view(IMAGE, BRUSH, some)).targets[0].text is None
    assert parse_config(view(IMAGE, BRUSH, some, CAPTION)).targets[0].text.name == "caption"


@pytest.mark.parametrize(
    ("xml", "problem"),
    [
        ("", "the project has no labelling config yet; set one up in its settings"),
        ("  \n", "the project has no labelling config yet; set one up in its settings"),
        ("<View>", "the labelling config is not well-formed XML: no element found: line 1, column 6"),
        ("hello", "the labelling config is not well-formed XML: syntax error: line 1, column 0"),
        (view(BRUSH), 'there is no image to label; add <Image name="image" value="$image"/>'),
        (view('<Image name="image"/>', BRUSH), 'there is no image to label; add <Image name="image" value="$image"/>'),
        (
            view(IMAGE, '<RectangleLabels name="b" toName="image"/><Polygon name="p" toName="image"/>'),
            "masks need a BrushLabels control and the config has only RectangleLabels, Polygon; add <BrushLabels "
            'name="mask" toName="image"><Label value="obj 1"/>...</BrushLabels>',
        ),
        (
            view(IMAGE, '<Brush name="b" toName="image"/><Labels name="l" toName="image"><Label value="x"/></Labels>'),
            "masks need a BrushLabels control and the config has only Brush; add <BrushLabels "
            'name="mask" toName="image"><Label value="obj 1"/>...</BrushLabels>',
        ),
        (
            view(IMAGE, '<BrushLabels name="mask" toName="imag"><Label value="x"/></BrushLabels>'),
            'BrushLabels "mask" has toName="imag", which is no image; write toName="image"',
        ),
        (
            view(IMAGE, '<BrushLabels name="mask" toName="image"/>'),
            'BrushLabels "mask" has no labels and would paint nothing visible; add <BrushLabels name="mask" '
            'toName="image"><Label value="obj 1"/>...</BrushLabels>',
        ),
        (
            '<View><Repeater on="$images" indexFlag="{{idx}}"><Image name="i{{idx}}" value="$images[{{idx}}]"/>'
            '<BrushLabels name="m{{idx}}" toName="i{{idx}}"><Label value="x"/></BrushLabels></Repeater></View>',
            'a Repeater is not read; for several images in a task use <Image name="image" valueList="$images"/>',
        ),
    ],
)
def test_what_cannot_carry_masks_is_said_with_its_cure(xml, problem):
    config = parse_config(xml)
    assert config.problems == (problem,)
    assert config.targets == ()


def test_a_text_field_for_the_whole_image_gets_a_hint():
    config = parse_config(view(IMAGE, BRUSH, '<TextArea name="note" toName="image"/>'))
    assert config.problems == ()
    assert config.hints == (
        'regions of image "image" have no text field, so their free text is only a note; '
        'give TextArea "note" perRegion="true"',
    )


def test_labels_that_come_from_tasks_get_a_hint():
    config = parse_config(view(IMAGE, '<BrushLabels name="m" toName="image" value="$labels"/>', CAPTION))
    assert config.hints == (
        'BrushLabels "m": tasks without "labels" get no masks; write the labels into the config, or "labels" into '
        "every task",
    )
    both = '<BrushLabels name="m" toName="image" value="$labels"><Label value="x"/></BrushLabels>'
    assert parse_config(view(IMAGE, both, CAPTION)).hints == (
        'BrushLabels "m": labels in "labels" of a task are not used, since Label Studio drops imported predictions '
        "with them where the config has labels of its own",
    )


BILLION_LAUGHS = (
    '<!DOCTYPE x [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]>'
    "<View>&c;</View>"
)
EXTERNAL = '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><View>&f;</View>'


@pytest.mark.parametrize("xml", [BILLION_LAUGHS, EXTERNAL, '<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd"><View/>'])
def test_document_types_and_entities_are_refused(xml):
    assert parse_config(xml).problems == ("the labelling config declares a document type or entities; take them out",)


def test_size_is_bounded():
    assert parse_config("<View>" + " " * MAX_CHARACTERS + "</View>").problems == (
        "the labelling config has 1,000,013 characters, above the limit of 1,000,000",
    )


TARGETS = [f'<BrushLabels name="m" toName="i{n}"><Label value="x"/></BrushLabels>' for n in range(7_000)]


@pytest.mark.parametrize(
    "xml",
    [
        "<a>" * 100_000 + "</a>" * 100_000,
        view(IMAGE, f'<BrushLabels name="m" toName="image"><Label value="{"_ " * 400_000}1"/></BrushLabels>'),
        view(*[f'<TextArea name="t{n}" toName="image" perRegion="true"/>' for n in range(10_000)], IMAGE, BRUSH),
        "<View>\ud800</View>",
        view(*[f'<Image name="i{n}" value="$i"/><BrushLabels name="m" toName="j{n}"/>' for n in range(12_000)]),
        view(*[f'<Image name="i{n}" value="$i"/><TextArea name="t" toName="i{n}"/>' for n in range(7_000)], *TARGETS),
        view(f'<Image name="{"ab" * 200_000}" value="$i"/><BrushLabels name="m" toName="{"ba" * 200_000}"/>'),
    ],
    ids=["deep", "long label", "many", "half a surrogate", "all wrong", "all hints", "long names"],
)
@pytest.mark.timeout(20)
def test_hostile_configs_are_read_in_time(xml):
    config = parse_config(xml)
    assert sum(map(len, config.problems + config.hints)) < 5_000
    for target in config.targets:
        label_kind(target.brush.labels)


PIECES = st.sampled_from(
    ["<View>", "</View>", IMAGE, BRUSH, CAPTION, "<Image/>", "<BrushLabels/>", "<!--", "-->", "<?p?>", "&amp;", "&x;"]
)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=8).map("".join).map(view)))
def test_any_text_gives_targets_or_problems(xml):
    config = parse_config(xml)
    assert bool(config.targets) != bool(config.problems)


@pytest.mark.parametrize(
    "labels",
    [
        ["object"],
        ["obj 1", "obj 2"],
        ["region-a", "Region-B"],
        ["1", "2", "10"],
        ["a", "b"],
        ["segment1", "segment2"],
        ["red", "Light Blue".replace(" ", ""), "green"],
        ["Object", "Region"],
        [],
    ],
)
def test_labels_that_only_tell_instances_apart_are_a_palette(labels):
    assert label_kind(labels) == "palette"


@pytest.mark.parametrize(
    "labels",
    [["cat", "car"], ["cat", "dog 1"], ["object", "background"], ["car 1", "bus 2"], ["red", "wheel"], ["", "x"]],
)
def test_labels_that_mean_something_are_a_closed_list(labels):
    assert label_kind(labels) == "closed"


def test_the_rest_of_a_closed_list_is_found_by_its_name():
    assert catch_all(["cat", "Unknown "]) == "Unknown "
    assert catch_all(["cat", "another"]) is None
