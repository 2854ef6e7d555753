"""A project that somebody edited, exported from the running Label Studio: COCO, and back again, pixel for pixel."""

import copy
import json

import numpy as np
import pytest
from pycocotools.coco import COCO

from ls_backend import brush
from ls_backend.cli import main
from tests.label_studio import photos
from tests.label_studio.results import regions
from tests.label_studio.studio import until
from tests.label_studio.test_browser import rub_out
from tests.ls_backend.exporting import brush_entries

TEXTS = ["ring, seen from above", "=left half"]


def masks_of(content):
    """A ring with a hole around the middle, and the left quarter: (H, W) bool each, for one photo."""
    height, width = photos.pixels(content).shape[:2]
    rows, columns = np.indices((height, width))
    distance = np.hypot(rows - height / 2, columns - width / 2) / height
    return [(distance < 0.4) & (distance > 0.2), columns < width // 4]


@pytest.fixture(scope="module")
def edited(browser, studio):
    """Number of a project: one photo whose prediction was rubbed out and renamed in the editor, one that nobody saw."""
    content = photos.photo("street")
    project = studio.project("exported", "free_text.xml")
    tasks = studio.upload(project, {"street.jpg": content, "cat.jpg": photos.photo("cat")})
    masks = masks_of(content)
    result = [
        entry
        for number, (mask, text) in enumerate(zip(masks, TEXTS, strict=True), start=1)
        for entry in brush_entries(f"r{number}", mask, f"obj {number}", text, score=0.25 * number)
    ]
    prediction = {"task": tasks["street.jpg"], "result": result, "model_version": "hand", "score": 0.5}
    studio.call("POST", f"/api/projects/{project}/import/predictions", [prediction])
    browser.open_task(project, tasks["street.jpg"], len(masks))
    browser.type("[data-testid=textarea-region-input]", "brick ring\n")
    until(lambda: browser.texts()[0] == "brick ring", "the text is changed")
    browser.select_region(0)
    browser.click("button[aria-label=eraser]")
    rub_out(browser, masks[0])
    browser.click("//button[contains(., 'Submit')]")
    until(lambda: any(task["annotations"] for task in studio.tasks(project)), "the annotation is stored")
    return project


def decoded(result):
    """A result with masks in the place of their runs: the editor packs runs in another way than we do."""
    result = copy.deepcopy(result)
    for entry in result:
        if "rle" in entry["value"]:
            entry["value"]["rle"] = brush.decode(
                entry["value"]["rle"], entry["original_height"], entry["original_width"]
            ).tolist()
    return result


def export(*arguments):
    assert main(["export", *map(str, arguments)]) == 0


def test_an_edited_project_comes_back_from_coco_whole(studio, edited, tmp_path, monkeypatch):
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", studio.token)
    address = f"{studio.url}/projects/{edited}/data"
    export(address, "--out", tmp_path / "coco")
    export(tmp_path / "coco/annotations.json", "--format", "labelstudio", "--out", tmp_path / "back")

    theirs = {task["id"]: task for task in studio.export(edited)}
    ours = {task["id"]: task for task in json.loads((tmp_path / "back/labelstudio.json").read_text())}
    assert ours.keys() == theirs.keys()
    (number,) = [number for number, task in theirs.items() if task["annotations"]]
    (their,), (our,) = theirs[number]["annotations"], ours[number]["annotations"]
    assert decoded(our["result"]) == decoded(their["result"])
    assert (our["id"], our["completed_by"], ours[number]["data"]) == (
        their["id"],
        their["completed_by"],
        theirs[number]["data"],
    )

    coco = COCO(str(tmp_path / "coco/annotations.json"))
    assert len(coco.imgs) == 2, "the photo that nobody saw is there"
    stored = regions(their["result"])
    assert stored["r1"].text == "brick ring"
    assert (masks_of(photos.photo("street"))[0] & ~stored["r1"].mask).sum() > 0, "something was rubbed out"
    for annotation in coco.dataset["annotations"]:
        region = stored[annotation["region"]]
        assert np.array_equal(coco.annToMask(annotation), region.mask)
        assert (annotation["caption"], annotation["origin"]) == (region.text, region.origin)
        assert annotation["area"] == region.mask.sum()


def test_what_comes_back_can_be_imported_again(studio, edited, tmp_path, monkeypatch):
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", studio.token)
    export("--url", studio.url, "--project", edited, "--source", "both", "--out", tmp_path / "coco")
    export(tmp_path / "coco/annotations.json", "--format", "labelstudio", "--out", tmp_path / "back")
    tasks = json.loads((tmp_path / "back/labelstudio.json").read_text())
    again = studio.project("imported again", "free_text.xml")
    answer = studio.call("POST", f"/api/projects/{again}/import", tasks)
    assert (answer["task_count"], answer["annotation_count"], answer["prediction_count"]) == (2, 1, 1)
    stored = {task["data"]["image"]: task for task in studio.tasks(again)}
    for before in studio.tasks(edited):
        after = stored[before["data"]["image"]]
        for key in ("annotations", "predictions"):
            assert [decoded(one["result"]) for one in after[key]] == [decoded(one["result"]) for one in before[key]]
