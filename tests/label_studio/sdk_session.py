"""Run by Label Studio's own Python, with its SDK: a project from nothing to accepted annotations, told as JSON.

Reads JSON: addresses of Label Studio and of the backend, token, labelling config, image as a data: URI.
"""

import json
import sys

import numpy as np
from label_studio_sdk import LabelStudio
from label_studio_sdk.converter.brush import decode_rle


def region(entry):
    """A mask's pixels as the SDK decodes them: alpha of every pixel, row by row."""
    alpha = decode_rle(entry["value"]["rle"]).reshape(entry["original_height"], entry["original_width"], 4)[..., 3]
    return {"id": entry["id"], "area": int((alpha > 0).sum()), "levels": np.unique(alpha).tolist()}


def main(studio, backend, token, config, image):
    client = LabelStudio(base_url=studio, api_key=token)
    project = client.projects.create(title="through the SDK", label_config=config).id
    client.projects.import_tasks(id=project, request=[{"image": image}])
    connected = client.ml.create(project=project, url=backend, title="zeroguide")
    everything = {"all": True, "excluded": []}
    client.actions.create(project=project, id="retrieve_tasks_predictions", selected_items=everything)
    (prediction,) = client.predictions.list(project=project)
    client.actions.create(project=project, id="predictions_to_annotations", selected_items=everything)
    (task,) = client.tasks.list(project=project, fields="all")
    (annotation,) = task.annotations
    found = {
        "project": project,
        "state": str(connected.state),
        "model_version": prediction.model_version,
        "predicted": [region(entry) for entry in prediction.result if entry["type"] == "brushlabels"],
        "accepted": [region(entry) for entry in annotation["result"] if entry["type"] == "brushlabels"],
        "texts": [entry["value"]["text"] for entry in annotation["result"] if entry["type"] == "textarea"],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(**json.load(sys.stdin))
