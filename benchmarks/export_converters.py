"""One project, exported by label-studio-sdk's converters and by `zeroguide export`, and what can be read back of each.

Every region has a label of its own within its task, so that it can be found again in formats that keep no ids.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from ls_backend import brush
from ls_backend.exports.losses import Losses
from ls_backend.exports.read_run import run_items
from ls_backend.exports.shapes import fill
from zgcore.gallery import templates_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Key = tuple[str, str]
"""The stem of an image's name and the label of a region."""

CONVERT = """
import logging, sys
from label_studio_sdk.converter import Converter
logging.disable(logging.CRITICAL)
config, tasks, out, form = sys.argv[1:]
Converter(config=config, project_dir=None, download_resources=False).convert(tasks, out, form, is_dir=False)
"""


@dataclass
class Project:
    """Tasks as Label Studio exports them, and what is in them by label: masks, texts, ids and scores."""

    tasks: list[dict[str, Any]] = field(default_factory=list)
    masks: dict[Key, np.ndarray] = field(default_factory=dict)
    texts: dict[Key, str] = field(default_factory=dict)
    ids: dict[Key, str] = field(default_factory=dict)
    scores: dict[Key, float] = field(default_factory=dict)

    def add(self, name: str, *people: list[tuple[np.ndarray, str, float]]) -> None:
        """A task with one annotation for each person: (mask, text, score) of each region."""
        task = len(self.tasks) + 1
        annotations: list[dict[str, Any]] = []
        label = 0
        for person, regions in enumerate(people, start=1):
            result: list[dict[str, Any]] = []
            for mask, text, score in regions:
                label += 1
                key = (Path(name).stem, f"obj {label}")
                self.masks[key], self.texts[key], self.scores[key] = mask, text, score
                self.ids[key] = f"id-{task}-{label}-x"
                result += entries(self.ids[key], key[1], mask, text, score)
            annotations.append({"id": 10 * task + person, "completed_by": person, "result": result})
        self.tasks.append({"id": task, "data": {"image": f"/data/upload/1/{name}"}, "annotations": annotations})


def entries(region: str, label: str, mask: np.ndarray, text: str, score: float) -> list[dict[str, Any]]:
    """A brush and its text, as the editor saves them."""
    height, width = mask.shape
    common = {"id": region, "to_name": "image", "original_width": width, "original_height": height, "score": score}
    value = {"format": "rle", "rle": brush.encode(mask)}
    kinds = (("mask", "brushlabels", "brushlabels", label), ("caption", "textarea", "text", text))
    return [
        {**common, "image_rotation": 0, "from_name": name, "type": kind, "value": {**value, key: [content]}}
        for name, kind, key, content in kinds
    ]


def project_of(run: Path) -> Project:
    """The photos of a run with their segments, a task of traps, one of two annotators, two without regions."""
    project = Project()
    for item in run_items(run, Losses(), {}):
        regions = [(region.rle.mask(), region.caption, region.score or 0.0) for region in item.regions]
        project.add(item.file_name, regions)
    rows, columns = np.indices((200, 300))
    distance = np.hypot(rows - 100, columns - 150)
    dot, line, diagonal, parts = (np.zeros((200, 300), dtype=bool) for _ in range(4))
    dot[20, 30] = True
    line[150, 10:200] = True
    diagonal[np.arange(100), np.arange(100) + 50] = True
    parts[10:40, 200:240] = parts[160:190, 250:290] = True
    shapes = {
        "donut": (distance < 80) & (distance > 40),
        "dot": dot,
        "line": line,
        "diagonal": diagonal,
        "parts": parts,
    }
    project.add("traps.jpg", [(mask, name, 0.5) for name, mask in shapes.items()])
    disc = distance < 60
    project.add("two_people.jpg", [(disc, "disc", 0.5)], [(np.roll(disc, 5, axis=1), "round thing", 0.5)])
    project.add("nothing_seen.jpg", [])
    project.add("not_annotated.jpg")
    return project


@dataclass
class Found:
    """What an export holds. images: names. masks: of each label, all its annotations joined. said: their JSON by label.
    areas: what the file claims. annotations: how many there are."""

    images: set[str] = field(default_factory=set)
    masks: dict[Key, np.ndarray] = field(default_factory=dict)
    said: dict[Key, str] = field(default_factory=dict)
    areas: dict[Key, float] = field(default_factory=dict)
    annotations: int = 0

    def add(self, key: Key, mask: np.ndarray | None, said: dict[str, Any], area: float | None = None) -> None:
        self.annotations += 1
        if mask is not None:
            self.masks[key] = self.masks.get(key, False) | mask
        self.said[key] = self.said.get(key, "") + json.dumps(said)
        self.areas[key] = self.areas.get(key, 0.0) + (area or 0.0)


def read_coco(path: Path) -> Found:
    """COCO as any tool reads it: polygons filled by pycocotools, the label being the category."""
    document, found = json.loads(path.read_text()), Found()
    names = {category["id"]: category["name"] for category in document["categories"]}
    images = {image["id"]: image for image in document["images"]}
    found.images = {Path(image["file_name"]).stem for image in images.values()}
    for annotation in document["annotations"]:
        image = images[annotation["image_id"]]
        shape = annotation["segmentation"]
        if isinstance(shape, dict):
            mask = coco_mask.decode(shape).astype(bool)
        else:
            rings = [np.array(ring, dtype=float).reshape(-1, 2) for ring in shape if len(ring) >= 6]
            mask = fill(rings, image["height"], image["width"])
        said = {key: value for key, value in annotation.items() if key != "segmentation"}
        key = (Path(image["file_name"]).stem, names[annotation["category_id"]])
        found.add(key, mask, said, annotation["area"])
    return found


def read_yolo(folder: Path, names: list[str], project: Project) -> Found:
    """YOLO lines of class and polygon; five numbers are a box. Filled at the size of the image."""
    found = Found(images={path.stem for path in (folder / "labels").glob("*.txt")})
    sizes = {stem: mask.shape for (stem, _), mask in project.masks.items()}
    for path in sorted((folder / "labels").glob("*.txt")):
        for line in path.read_text().splitlines():
            number, *shares = line.split()
            height, width = sizes[path.stem]
            points = np.array(shares, dtype=float).reshape(-1, 2) * [width, height]
            mask = fill([points], height, width) if len(points) > 2 else None
            found.add((path.stem, names[int(number)]), mask, {})
    return found


def read_panoptic(path: Path) -> Found:
    document, found = json.loads(path.read_text()), Found()
    names = {category["id"]: category["name"] for category in document["categories"]}
    images = {image["id"]: Path(image["file_name"]).stem for image in document["images"]}
    found.images = set(images.values())
    for annotation in document["annotations"]:
        pixels = np.asarray(Image.open(path.parent / "panoptic" / annotation["file_name"])).astype(np.int64)
        ids = pixels @ [1, 256, 65536]
        for segment in annotation["segments_info"]:
            key = (images[annotation["image_id"]], names[segment["category_id"]])
            found.add(key, ids == segment["id"], segment, segment["area"])
    return found


def read_voc(folder: Path) -> Found:
    """Classes by their index in the order of labelmap.txt, which begins with the background."""
    names = [line.split(":")[0] for line in (folder / "labelmap.txt").read_text().splitlines()[1:]]
    found = Found()
    for path in sorted((folder / "SegmentationClass").glob("*.png")):
        found.images.add(path.stem)
        pixels = np.asarray(Image.open(path))
        for index in sorted(set(np.unique(pixels).tolist()) - {0, 255}):
            found.add((path.stem, names[index]), pixels == index, {})
    return found


def read_brush_pngs(folder: Path, project: Project) -> Found:
    """task-N-annotation-M-by-P-LAYER.png: one a label, as BRUSH_TO_PNG names them."""
    found = Found()
    stems = {str(task["id"]): Path(task["data"]["image"]).stem for task in project.tasks}
    for path in sorted(folder.glob("task-*.png")):
        parts = path.stem.split("-")
        stem, label = stems[parts[1]], next(part for part in parts if part.startswith("obj "))
        found.images.add(stem)
        found.add((stem, label), np.asarray(Image.open(path)) > 0, {})
    return found


def read_tasks(path: Path) -> Found:
    """Label Studio's JSON, by ours or by theirs."""
    found = Found()
    for task in json.loads(path.read_text()):
        stem = Path(task["data"]["image"]).stem
        found.images.add(stem)
        for annotation in task["annotations"]:
            shapes = [entry for entry in annotation["result"] if entry["type"] == "brushlabels"]
            for shape in shapes:
                size = shape["original_height"], shape["original_width"]
                mask = brush.decode(shape["value"]["rle"], *size)
                said = [{**entry, "value": entry["value"].get("text")} for entry in annotation["result"]
                        if entry["id"] == shape["id"]]  # fmt: skip
                found.add((stem, shape["value"]["brushlabels"][0]), mask, {"entries": said}, float(mask.sum()))
    return found


def row(name: str, found: Found, project: Project) -> str:
    """A line of the table: what is held of what the project has."""
    regions, exact, ious, wrong = len(project.masks), 0, [], 0
    areas = 0
    for key, mask in project.masks.items():
        other = found.masks.get(key, np.zeros_like(mask))
        exact += np.array_equal(mask, other)
        ious.append((mask & other).sum() / (mask | other).sum())
        wrong += int((mask != other).sum())
        areas += found.areas.get(key) == mask.sum()
    total = sum(int(mask.sum()) for mask in project.masks.values())
    said = {
        "texts": sum(json.dumps(text) in found.said.get(key, "") for key, text in project.texts.items()),
        "ids": sum(json.dumps(one) in found.said.get(key, "") for key, one in project.ids.items()),
        "scores": sum(f'"score": {one}' in found.said.get(key, "") for key, one in project.scores.items()),
    }
    cells = [
        name, f"{len(found.images)}/{len(project.tasks)}", f"{found.annotations}", f"{exact}/{regions}",
        f"{np.mean(ious):.3f}", f"{min(ious):.3f}", f"{wrong / total:.2%}",
        f"{areas}/{regions}" if any(found.areas.values()) else "has none",
        *(f"{number}/{regions}" for number in said.values()),
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


HEAD = (
    "| export | images | annotations | exact masks | mean IoU | least IoU | wrong pixels | right areas "
    "| texts | region ids | scores |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
)


def theirs(python: Path, tasks: Path, out: Path, project: Project) -> Iterator[tuple[str, Callable[[], Found]]]:
    """Label Studio's converters, each with its reader."""
    config = templates_folder().joinpath("free_text.xml").read_text()

    def convert(form: str) -> Path:
        folder = out / form
        folder.mkdir(parents=True)
        subprocess.run([str(python), "-c", CONVERT, config, str(tasks), str(folder), form], check=True)
        return folder

    def yolo() -> Found:
        folder = convert("YOLO")
        return read_yolo(folder, (folder / "classes.txt").read_text().splitlines(), project)

    def boxes() -> Found:
        folder = convert("VOC")
        return Found(images={path.stem for path in (folder / "Annotations").glob("*.xml")
                             if "<object>" in path.read_text()})  # fmt: skip

    yield "Label Studio COCO", lambda: read_coco(convert("COCO") / "result.json")
    yield "Label Studio BRUSH_TO_COCO", lambda: read_coco(convert("BRUSH_TO_COCO") / "result_coco.json")
    yield "Label Studio YOLO", yolo
    yield "Label Studio VOC (boxes)", boxes
    yield "Label Studio BRUSH_TO_PNG", lambda: read_brush_pngs(convert("BRUSH_TO_PNG"), project)
    yield "Label Studio JSON", lambda: read_tasks(tasks)


def ours(tasks: Path, out: Path, project: Project) -> Iterator[tuple[str, Callable[[], Found]]]:
    """Our formats, with the label as category so that both sides are read alike."""

    def export(name: str, *options: str, source: Path = tasks) -> Path:
        command = [sys.executable, "-m", "ls_backend", "export", str(source), "--category", "label", *options]
        subprocess.run([*command, "--out", str(out / name)], check=True, capture_output=True)
        return out / name

    def yolo() -> Found:
        folder = export("yolo", "--format", "yolo") / "yolo"
        lines = (folder / "data.yaml").read_text().split("names:\n")[1].splitlines()
        return read_yolo(folder, [json.loads(line.split(": ", 1)[1]) for line in lines], project)

    def again() -> Found:
        coco = export("there") / "annotations.json"
        return read_tasks(export("back", "--format", "labelstudio", source=coco) / "labelstudio.json")

    yield "zeroguide coco", lambda: read_coco(export("rle") / "annotations.json")
    yield "zeroguide coco --masks polygon", lambda: read_coco(export("ring", "--masks", "polygon") / "annotations.json")
    yield (
        "zeroguide coco --masks polygon --tolerance 1",
        lambda: read_coco(export("coarse", "--masks", "polygon", "--tolerance", "1") / "annotations.json"),
    )
    yield "zeroguide panoptic", lambda: read_panoptic(export("panoptic", "--format", "panoptic") / "panoptic.json")
    yield "zeroguide yolo", yolo
    yield "zeroguide voc", lambda: read_voc(export("voc", "--format", "voc") / "voc")
    yield "zeroguide coco -> labelstudio", again


def compare(run: Path, python: Path, folder: Path) -> None:
    """Print the table for the project made of a run."""
    project = project_of(run)
    tasks = folder / "project.json"
    tasks.write_text(json.dumps(project.tasks))
    texts = (
        f"{len(project.tasks)} tasks, {len(project.masks)} regions, {sum(map(np.sum, project.masks.values())):,} pixels"
    )
    print(f"{texts}\n\n{HEAD}")
    for name, read in (*theirs(python, tasks, folder / "theirs", project), *ours(tasks, folder / "ours", project)):
        try:
            print(row(name, read(), project), flush=True)
        except subprocess.CalledProcessError as error:
            print(f"| {name} | fails with code {error.returncode} |", flush=True)
