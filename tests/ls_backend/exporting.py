"""Label Studio tasks for tests of exports, and the way of a file through the exports."""

import json
from collections import Counter

from ls_backend import brush
from ls_backend.exports.categories import Naming, Survey
from ls_backend.exports.choose import Choice
from ls_backend.exports.coco import Coco
from ls_backend.exports.inputs import open_input
from ls_backend.exports.labelstudio import item_pieces
from ls_backend.exports.losses import Losses
from ls_backend.exports.spool import Spool


def brush_entries(region_id, mask, label="obj 1", text=None, **extra):
    """A brush region as the editor saves it, with its text where it has one."""
    height, width = mask.shape
    common = {
        "id": region_id,
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "origin": "manual",
        **extra,
    }
    value = {"format": "rle", "rle": brush.encode(mask)}
    entries = [{**common, "from_name": "mask", "type": "brushlabels", "value": {**value, "brushlabels": [label]}}]
    if text is not None:
        texts = text if isinstance(text, list) else [text]
        entries.append({**common, "from_name": "caption", "type": "textarea", "value": {**value, "text": texts}})
    return entries


def annotation(number, *regions, by=1, **extra):
    """An annotation of regions, each a list of entries."""
    return {"id": number, "completed_by": by, "result": [entry for region in regions for entry in region], **extra}


def task(number, *annotations, image="/data/upload/1/0123abcd-photo.jpg", predictions=(), **extra):
    document = {"id": number, "data": {"image": image}, "annotations": list(annotations), **extra}
    return {**document, "predictions": list(predictions)} if predictions else document


class Exported:
    """Items of a file, in a spool, with what was lost."""

    def __init__(self, folder, document, choice=None, category="auto"):
        path = folder / "input.json"
        path.write_text(document if isinstance(document, str) else json.dumps(document))
        self.losses = Losses()
        self.spool = Spool(folder)
        source = open_input(path)
        for item in source.items(choice or Choice("both"), self.losses, lambda place: None):
            self.spool.append(item)
        self.survey = Survey(self.spool, Naming(self.spool, category))
        self.lost = Counter()

    @property
    def items(self):
        return list(self.spool)

    def coco(self, **options):
        return "".join(Coco(self.spool, self.survey, {}, self.lost, **options).pieces())

    def tasks(self):
        return json.loads("".join(item_pieces(self.spool, lambda item: item.file_name, self.lost)))
