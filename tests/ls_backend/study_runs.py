"""Small runs to make studies of: photos of a few grey levels, every segment known in advance."""

import hashlib

import numpy as np
from PIL import Image

from ls_backend.record import RunStamp, from_segmentation
from ls_backend.run_folder import RunFolder, fingerprint
from zgcore import Segmentation, SegmentTree

STAMP = RunStamp("mini", "settings", "mini-1", False)
SIZE = (80, 100)  # height, width
# Of a segment: left, right, top, bottom. Shares of the image: 0.50175, 0.4, 0.0975, 0.00075.
BOXES = ((0, 50, 0, 80), (50, 90, 0, 80), (90, 100, 2, 80), (90, 93, 0, 2))
WORDS = ("sky", "grass", "cat", "dog", "boat", "chair", "tree", "car", "wall", "horse", "bus", "sand")
DIMENSIONS = 16


def index_map(boxes=BOXES):
    """(80, 100) int32; what no box covers belongs to the first segment."""
    found = np.zeros(SIZE, np.int32)
    for segment, (left, right, top, bottom) in enumerate(boxes):
        found[top:bottom, left:right] = segment
    return found


def embedding(word):
    """(16,) float32 that depends on the word alone."""
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "big")
    return np.random.default_rng(seed).standard_normal(DIMENSIONS).astype(np.float32)


def labels_of(number):
    """Of the segments of an image: neighbours in the list of words."""
    return tuple(WORDS[(3 * number + segment) % len(WORDS)] for segment in range(len(BOXES)))


def chain(count):
    """Node numbers of a tree in which every right child but the last one is split again."""
    spine = [2 ** (depth + 1) - 2 for depth in range(count)]  # 0, 2, 6, 14
    return (*(2 * node + 1 for node in spine[: count - 1]), spine[count - 1])


def write_run(root, images, boxes=BOXES, labels=labels_of, photos=None):
    """A run folder; returns its path. photos: folder of the photos, below `root` by default."""
    folder, photos = RunFolder(root), photos or root / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    here = index_map(boxes)
    for number in range(images):
        path = photos / f"image{number:03}.png"
        if not path.exists():
            levels = np.random.default_rng(number).integers(40, 216, (*SIZE, 3))
            Image.fromarray((levels // 4 + 60 * (here[..., None] + 1) // 2).astype(np.uint8)).save(path)
        names = labels(number)
        result = Segmentation(
            index_map=here,
            nodes=chain(len(boxes)),
            labels=names,
            embeddings=np.stack([embedding(name) for name in names]),
            scores=np.linspace(0.3, 0.2, len(boxes)).astype(np.float32),
            tree=SegmentTree(chain(len(boxes)), here),
            preset="mini",
            random_weights=False,
            seconds={},
        )
        record = from_segmentation(path.stem, fingerprint(path), STAMP, result)
        folder.save(record, result.embeddings)
    return root
