"""What an annotator sees and does: rendered pixels, the region list, and what is exported afterwards."""

import re
from collections import Counter

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from ls_backend.cli import zeroguide
from ls_backend.local_server import free_port
from tests.label_studio import photos
from tests.label_studio.results import regions
from tests.label_studio.studio import TEMPLATES, until
from tests.label_studio.test_faults import connected, whole

LARGE_SHARE = 0.01  # of the image, from which on a region's outline is no matter of a few pixels


def palette(template):
    """Colours (r, g, b) by label."""
    found = re.findall(r'<Label value="([^"]+)" background="#(\w{6})"', (TEMPLATES / template).read_text())
    return {label: tuple(bytes.fromhex(code)) for label, code in found}


def as_shown(browser, pixels, shape):
    """The part that can be seen of an image or mask, at shape (height, width)."""
    height, width = pixels.shape[:2]
    how = Image.Resampling.NEAREST if pixels.dtype == bool else Image.Resampling.BILINEAR
    box = browser.seen()[1] * (width, height, width, height)
    return np.asarray(Image.fromarray(pixels).resize((shape[1], shape[0]), how, tuple(box)))


def overlap(one, other):
    """Intersection over union."""
    return (one & other).sum() / (one | other).sum()


def assert_drawn(browser, result, content, template="free_text.xml"):
    """The editor shows the photo as it is to be seen, and every mask in its label's colour where the photo has it."""
    photo, drawn = browser.drawn()
    expected = as_shown(browser, photos.pixels(content), photo.shape[:2])
    assert np.abs(expected.astype(float) - photo).mean() < 8  # levels of 255; a shift or turn makes far more
    found, colours = regions(result), palette(template)
    assert set(drawn) == {colours[region.label] for region in found.values()}
    for region in found.values():
        if region.mask.mean() > LARGE_SHARE:
            expected = as_shown(browser, region.mask, photo.shape[:2])
            assert overlap(expected, drawn[colours[region.label]]) > 0.9


def predicted(studio, backend, title, name, content, template="free_text.xml"):
    """A task of one photo with its prediction: numbers of project and task, and the prediction's result."""
    project, tasks = connected(studio, backend, title, {name: content}, template)
    studio.retrieve(project)
    (prediction,) = studio.predictions(project)[tasks[name]]
    return project, tasks[name], prediction["result"]


def test_connecting_and_retrieving(browser, studio, backend):
    project = studio.project("by hand", "free_text.xml")
    studio.upload(project, {f"{name}.jpg": photos.photo(name) for name in ("cat", "street")})
    browser.open(f"/projects/{project}/settings/ml")
    browser.click("//button[contains(., 'Connect Model')]")
    browser.type("input[name=title]", "zeroguide")
    browser.type("input[name=url]", f"http://127.0.0.1:{free_port()}")
    browser.click("//button[contains(., 'Validate and Save')]")
    browser.says("health check failed")
    browser.click("button[aria-label='Close modal']", -1)  # the message; the form stays
    browser.type("input[name=url]", backend.url)
    browser.click("//button[contains(., 'Validate and Save')]")
    browser.says("Connected")
    browser.shot("1-connected")
    browser.open(f"/projects/{project}/data")
    browser.click("//input[@aria-label='Select all rows']/..")
    browser.click("//button[contains(., '2 Tasks')]")
    browser.click("//*[normalize-space(text())='Retrieve Predictions']")
    browser.click("[data-testid=dialog-ok-button]")
    until(lambda: whole(studio, project, backend.version), "both tasks have their prediction")
    browser.open(f"/projects/{project}/data")
    browser.says("Predictions: 2")
    browser.shot("2-retrieved")


def test_masks_and_texts_are_seen_edited_and_exported(browser, studio, backend_of):
    backend = backend_of("mini", ZEROGUIDE_PRESET="mini", ZEROGUIDE_WEIGHTS="").start()
    project, task, result = predicted(studio, backend, "edited", "street.jpg", photos.photo("street"))
    predictions = regions(result)
    browser.open_task(project, task, len(predictions))
    browser.shot("3-opened")
    assert browser.texts() == [region.text for region in predictions.values()]
    assert_drawn(browser, result, photos.photo("street"))

    first = next(iter(predictions.values()))
    browser.type("[data-testid=textarea-region-input]", "old brick terrace\n")
    until(lambda: browser.texts()[0] == "old brick terrace", "the text is changed")
    browser.select_region(0)
    browser.click("button[aria-label=eraser]")
    rubbed = rub_out(browser, first.mask)
    browser.shot("4-edited")
    browser.click("//button[contains(., 'Submit')]")
    until(lambda: studio.tasks(project)[0]["annotations"], "the annotation is stored")
    browser.says("Annotation saved")
    browser.shot("5-submitted")

    (exported,) = studio.export(project)
    (annotation,) = exported["annotations"]
    submitted = regions(annotation["result"])
    assert submitted.keys() == predictions.keys()
    for number, before in predictions.items():
        after = submitted[number]
        if before is first:
            assert after.text == "old brick terrace"
            assert before.mask[rubbed]
            assert not after.mask[rubbed]
            assert 0.5 < overlap(after.mask, before.mask) < 1
        else:
            assert (after.text, after.label) == (before.text, before.label)
            assert overlap(after.mask, before.mask) > 0.97
    told = {"mask_edited": 1, "accepted": len(predictions) - 1}
    until(lambda: outcomes(backend) == told, f"the backend counts {told}")


def outcomes(backend):
    """Numbers of annotated regions by what the backend takes for having been done to them."""
    lines = backend.client.get("/metrics")[2].decode()
    found = re.findall(r'^zeroguide_annotated_regions\{outcome="(\w+)"\} (\S+)$', lines, re.MULTILINE)
    return Counter({name: int(float(count)) for name, count in found if float(count)})


def test_a_text_alone_is_edited(browser, studio, backend):
    project, task, result = predicted(studio, backend, "renamed", "street.jpg", photos.photo("street"))
    predictions = regions(result)
    browser.open_task(project, task, len(predictions))
    browser.type("[data-testid=textarea-region-input]", "old brick terrace\n")
    until(lambda: browser.texts()[0] == "old brick terrace", "the text is changed")
    before = outcomes(backend)
    browser.click("//button[contains(., 'Submit')]")
    until(lambda: studio.tasks(project)[0]["annotations"], "the annotation is stored")
    told = {"text_edited": 1, "accepted": len(predictions) - 1}
    until(lambda: outcomes(backend) - before == told, f"the backend counts {told}")


def test_with_preannotation_a_task_gets_its_masks_when_it_is_opened(browser, studio, backend):
    project = studio.project("preannotated", "free_text.xml")
    content = photos.fresh("street", 70)
    (task,) = studio.upload(project, {"street.png": content}).values()
    arguments = ["connect", "--url", studio.url, "--project", str(project), "--backend-url", backend.url]
    done = CliRunner(env={"LABEL_STUDIO_API_KEY": studio.token}).invoke(zeroguide, [*arguments, "--preannotate"])
    assert done.exit_code == 0, done.output
    assert studio.predictions(project) == {task: []}
    browser.open(f"/projects/{project}/data?task={task}")
    (prediction,) = until(lambda: studio.predictions(project)[task], "opening the task has it predicted")
    found = regions(prediction["result"])
    until(lambda: len(browser.all(".lsf-outliner-item")) == len(found) > 1, "all regions are listed")
    until(lambda: len(browser.drawn()[1]) == len(found), "all masks are drawn")
    browser.shot("10-preannotated")
    assert browser.texts() == [region.text for region in found.values()]
    assert_drawn(browser, prediction["result"], content)


def rub_out(browser, mask):
    """Draw with the eraser over a part of a mask; the row and column in the middle of what must be gone."""
    canvas, part = (box.reshape(2, 2) for box in browser.seen())
    row, column = inside(mask)
    place = np.array([(column + 0.5) / mask.shape[1], (row + 0.5) / mask.shape[0]])
    x, y = canvas[0] + (place - part[0]) / (part[1] - part[0]) * (canvas[1] - canvas[0])
    browser.drag([(x + step, y) for step in (-15, -8, 0, 8, 15)])
    return row, column


def inside(mask):
    """Row and column of the mask's pixel that is farthest from its border."""
    from scipy.ndimage import distance_transform_edt

    return np.unravel_index(distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1].argmax(), mask.shape)


def test_a_photo_that_exif_turns_lines_up(browser, studio, backend):
    lying, upright = photos.turned("street")
    project, task, result = predicted(studio, backend, "exif seen", "lying.jpg", lying)
    browser.open_task(project, task, len(regions(result)))
    browser.shot("6-exif")
    assert_drawn(browser, result, upright)


def test_twelve_megapixels_line_up(browser, studio, backend):
    content = photos.large("street")
    project, task, result = predicted(studio, backend, "large seen", "large.jpg", content)
    browser.open_task(project, task, len(regions(result)))
    browser.shot("7-twelve-megapixels")
    assert_drawn(browser, result, content)


@pytest.mark.parametrize("template", ["free_text_prompts.xml", "closed_list.xml"])
def test_templates_show_their_predictions(browser, studio, backend, template):
    content = photos.photo("street")
    project, task, result = predicted(studio, backend, f"{template} seen", "street.jpg", content, template)
    found = regions(result)
    colours = {palette(template)[region.label] for region in found.values()}
    browser.open(f"/projects/{project}/data?task={task}")
    until(lambda: len(browser.all(".lsf-outliner-item")) == len(found), "all regions are listed")
    until(lambda: set(browser.drawn()[1]) == colours, "all labels' colours are drawn")
    browser.shot(f"8-{template.removesuffix('.xml')}")
    assert browser.texts() == [region.text for region in found.values()]


def test_rating_a_label(browser, studio):
    project = studio.project("rated", "rating.xml")
    (task,) = studio.upload(project, {"street.jpg": photos.photo("street")}).values()
    browser.open(f"/projects/{project}/data?task={task}")
    browser.says("2: correct, but too general or too specific")
    until(lambda: browser.drawn()[0] is not None, "the photo is drawn")
    browser.shot("9-rating")
    browser.click("//*[contains(text(), '2: correct, but too general')]")
    browser.click("//button[contains(., 'Submit')]")
    until(lambda: studio.tasks(project)[0]["annotations"], "the rating is stored")
    (exported,) = studio.export(project)
    assert exported["annotations"][0]["result"][0]["value"] == {"choices": ["2"]}
