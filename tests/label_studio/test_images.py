"""Images as people have them: turned, huge, in uploads and in local files."""

import numpy as np

from tests.label_studio import photos
from tests.label_studio.results import assert_masks_and_texts, regions


def predicted(studio, backend, title, files):
    """The result of each file by its name, of tasks in a new project."""
    project = studio.project(title, "free_text.xml")
    tasks = studio.upload(project, files)
    studio.connect(project, backend.url)
    studio.retrieve(project)
    stored = studio.predictions(project)
    return {name: stored[task][0]["result"] for name, task in tasks.items()}


def test_a_photo_that_exif_turns_gets_the_masks_of_what_is_shown(studio, backend):
    lying, upright = photos.turned("street")
    results = predicted(studio, backend, "exif", {"lying.jpg": lying, "upright.png": upright})
    height, width = photos.pixels(upright).shape[:2]
    assert height > width  # the sample is wider than high
    turned = assert_masks_and_texts(results["lying.jpg"], height, width)
    straight = regions(results["upright.png"])
    assert turned.keys() == straight.keys()
    for number, region in turned.items():
        assert region.text == straight[number].text
        np.testing.assert_array_equal(region.mask, straight[number].mask)


def test_twelve_megapixels(studio, backend):
    result = predicted(studio, backend, "large", {"large.jpg": photos.large("street")})["large.jpg"]
    assert_masks_and_texts(result, 3000, 4000)


def test_photos_of_a_local_files_storage(studio, backend, label_studio):
    folder = label_studio.files / "photos"
    folder.mkdir()
    content = photos.photo("cat")
    (folder / "cat.jpg").write_bytes(content)
    project = studio.project("local files", "free_text.xml")
    storage = {"project": project, "path": str(folder), "use_blob_urls": True, "regex_filter": ".*jpg"}
    number = studio.call("POST", "/api/storages/localfiles", storage)["id"]
    studio.call("POST", f"/api/storages/localfiles/{number}/sync", {})
    (task,) = studio.tasks(project)
    assert task["data"] == {"image": f"{studio.url}/data/local-files/?d=photos/cat.jpg"}
    studio.connect(project, backend.url)
    studio.retrieve(project)
    ((prediction,),) = studio.predictions(project).values()
    assert_masks_and_texts(prediction["result"], *photos.pixels(content).shape[:2])
