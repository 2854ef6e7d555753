"""A project connects, and gets masks and texts by pressing a button."""

import numpy as np
import pytest

from tests.label_studio import photos
from tests.label_studio.results import assert_masks_and_texts, regions

BOXES = """<View><Image name="image" value="$image"/>
<RectangleLabels name="box" toName="image"><Label value="thing"/></RectangleLabels></View>"""
CLOSED = {
    *("person", "animal", "vehicle", "building", "furniture", "food"),
    *("plant", "ground", "water", "sky", "other"),
}  # fmt: skip


def test_twelve_tasks_get_masks_and_texts(studio, backend):
    project = studio.project("twelve", "free_text.xml")
    files = photos.twelve()
    tasks = studio.upload(project, files)
    assert len(tasks) == 12
    connected = studio.connect(project, backend.url)
    assert (connected["state"], connected["error_message"]) == ("CO", None)
    assert connected["model_version"] == backend.version
    studio.retrieve(project)
    stored = studio.predictions(project)
    for name, task in tasks.items():
        (prediction,) = stored[task]
        assert prediction["model_version"] == backend.version
        assert 0 < prediction["score"] <= 1
        height, width = photos.pixels(files[name]).shape[:2]
        found = assert_masks_and_texts(prediction["result"], height, width)
        assert [region.label for region in found.values()] == [f"obj {n + 1}" for n in range(len(found))]
    assert "cat" in {region.text for region in regions(stored[tasks["cat.jpg"]][0]["result"]).values()}
    studio.retrieve(project)
    assert studio.predictions(project) == stored  # it has those of this version: nothing is asked for or doubled


def test_bulk_accept_keeps_masks_and_texts(studio, backend):
    project = studio.project("bulk", "free_text.xml")
    tasks = studio.upload(project, {f"{name}.jpg": photos.photo(name) for name in ("cat", "street")})
    studio.connect(project, backend.url)
    studio.retrieve(project)
    predicted = {task: regions(found[0]["result"]) for task, found in studio.predictions(project).items()}
    studio.action(project, "predictions_to_annotations")
    exported = studio.export(project)
    assert {task["id"] for task in exported} == set(tasks.values())
    for task in exported:
        (annotation,) = task["annotations"]
        accepted = regions(annotation["result"])
        assert accepted.keys() == predicted[task["id"]].keys()
        for number, region in accepted.items():
            before = predicted[task["id"]][number]
            assert (region.label, region.text) == (before.label, before.text)
            np.testing.assert_array_equal(region.mask, before.mask)


@pytest.mark.parametrize("template", ["free_text.xml", "free_text_prompts.xml", "closed_list.xml"])
def test_label_studio_takes_the_templates_and_their_predictions(studio, backend, template):
    project = studio.project(template, template)
    content = photos.photo("street")
    (task,) = studio.upload(project, {"street.jpg": content}).values()
    studio.connect(project, backend.url)
    studio.retrieve(project)
    (prediction,) = studio.predictions(project)[task]
    found = assert_masks_and_texts(prediction["result"], *photos.pixels(content).shape[:2])
    labels = {region.label for region in found.values()}
    if template == "closed_list.xml":
        assert {"building", "sky"} <= labels <= CLOSED
    else:
        assert labels == {f"obj {n + 1}" for n in range(len(found))}


def test_a_prompt_is_answered_with_every_segment(studio, backend):
    """What the editor asks while somebody annotates; Label Studio takes the answer, and as a prediction too."""
    project = studio.project("prompted", "free_text_prompts.xml")
    content = photos.photo("street")
    (task,) = studio.upload(project, {"street.jpg": content}).values()
    number = studio.connect(project, backend.url, is_interactive=True)["id"]
    prompt = {"from_name": "prompt", "to_name": "image", "type": "textarea", "id": "p", "origin": "manual"}
    asked = {"task": task, "context": {"result": [{**prompt, "value": {"text": ["red ball"]}}]}}
    answer = studio.call("POST", f"/api/ml/{number}/interactive-annotating", asked)
    assert answer.keys() == {"data"}  # else "errors", with status 200 too
    suggested = assert_masks_and_texts(answer["data"]["result"], *photos.pixels(content).shape[:2])
    taken = studio.call("POST", f"/api/projects/{project}/import/predictions", [{"task": task, **answer["data"]}])
    assert taken["created"] == 1
    ((stored,),) = studio.predictions(project).values()
    assert regions(stored["result"]).keys() == suggested.keys()
    assert f"project {project}: a prompt (" in backend.log.read_text()


def test_label_studio_takes_the_rating_template(studio):
    project = studio.project("rating", "rating.xml")
    (task,) = studio.upload(project, {"street.jpg": photos.photo("street")}).values()
    score = {"from_name": "score", "to_name": "image", "type": "choices", "value": {"choices": ["2"]}}
    studio.call("POST", f"/api/tasks/{task}/annotations/", {"result": [score]})
    (exported,) = studio.export(project)
    assert exported["annotations"][0]["result"][0]["value"] == {"choices": ["2"]}


def test_a_config_without_brush_is_told(studio, backend):
    project = studio.project("boxes", BOXES)
    (task,) = studio.upload(project, {"street.jpg": photos.photo("street")}).values()
    assert studio.connect(project, backend.url)["state"] == "CO"
    studio.retrieve(project)
    assert not any(prediction["result"] for prediction in studio.predictions(project)[task])
    assert f"project {project}: " in backend.status_page()
    assert f"project {project} gets no masks: " in backend.log.read_text()
    assert "BrushLabels" in backend.status_page()
