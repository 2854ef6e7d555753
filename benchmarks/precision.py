"""How many labels change in half precision.

    python -m benchmarks.precision embeddings --models mini   # ZeroCap on 200 embeddings; also tiny
    python -m benchmarks.precision photos --photos DIR        # whole images with a preset (default: mini, the samples)

Run from the repository's root. On a GPU zeroguide runs its two vision towers in half precision, and ZeroCap in float32
(`zgcore.build.assemble`). `photos` compares that with float32, on any device. `embeddings` rounds what stays float32:
the embeddings that ZeroCap is given (a vision tower's last rounding), candidates' scores (zerocap.text_format, which
has bfloat16 only), and the language model (which no setting rounds). A CPU rounds every result to the format as a GPU
does, but sums in another order. Each table begins with float32 against itself, which must be the same to the bit;
otherwise the exit status is 1.
"""

from __future__ import annotations

import argparse
import copy
import statistics
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.zerocap import SETUPS, Setup

# isort: split
import numpy as np
import torch
import torch.nn.functional as F
from tqdm import tqdm

from zgcore import __version__, load_image
from zgcore.build import assemble, load_models, pick_device
from zgcore.describing import ImageWork
from zgcore.images import find_images
from zgcore.presets import get_preset
from zgcore.samples import sample_paths

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from zgcore import Segmentation, ZeroGuidance
    from zgcore.describing import Describer
    from zgcore.merge import Described
    from zgcore.segmentation import SegmentTree
    from zgcore.zerocap import Caption

CONTROL = "float32 again"


def label_losses(
    embeddings: Tensor, expected: Sequence[str], found: Sequence[str], features: Callable[[list[str]], Tensor]
) -> list[float]:
    """How much worse the found labels fit, where labels differ: the expected one's cosine less the found one's.

    embeddings: (n, d) of any norm, of n labels each. features: labels -> (m, d) unit vectors.
    """
    where = [index for index, (one, other) in enumerate(zip(expected, found, strict=True)) if one != other]
    if not where:
        return []
    better, worse = (features([labels[index] for index in where]) for labels in (expected, found))
    units = F.normalize(embeddings[where].to(better), dim=-1)
    return ((better - worse) * units).sum(dim=-1).tolist()


def printed_losses(losses: Sequence[float]) -> str:
    """Three cells: the median, the largest, and how many are negative, where the other label fits better."""
    if not losses:
        return "| |"
    return f"{statistics.median(losses):.4f} | {max(losses):.4f} | {sum(loss < 0 for loss in losses)}"


def share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({part / max(whole, 1):.1%})"


@dataclass(frozen=True)
class CaptionChange:
    """Captions of two searches over the same embeddings.

    losses: of the final labels that differ. beams: segments whose lists of beams differ. identical: to the last bit.
    """

    count: int
    losses: list[float]
    beams: int
    identical: bool

    def row(self, name: str) -> str:
        labels, beams = share(len(self.losses), self.count), share(self.beams, self.count)
        return f"| {name} | {labels} | {beams} | {printed_losses(self.losses)} |"


def compare_captions(
    embeddings: Tensor,
    expected: Sequence[Caption],
    found: Sequence[Caption],
    features: Callable[[list[str]], Tensor],
) -> CaptionChange:
    """features: as for `label_losses`."""
    losses = label_losses(embeddings, [one.label for one in expected], [one.label for one in found], features)
    pairs = list(zip(expected, found, strict=True))
    beams = sum([b.tokens for b in one.beams] != [b.tokens for b in other.beams] for one, other in pairs)
    return CaptionChange(len(pairs), losses, beams, all(same_bits(*pair) for pair in pairs))


def same_bits(one: Caption, other: Caption) -> bool:
    return (one.label, one.similarity, one.beams) == (other.label, other.similarity, other.beams) and torch.equal(
        one.text_embedding, other.text_embedding
    )


def caption_changes(setup: Setup, embeddings: Tensor, half: torch.dtype) -> Iterator[tuple[str, CaptionChange]]:
    """What happens to captions where embeddings or models are rounded, `CONTROL` first; nothing is kept between them.

    embeddings: (n, d) float32. half: the format.
    """
    searches = {CONTROL: (setup, embeddings), "embeddings rounded": (setup, embeddings.to(half).float())}
    if half == torch.bfloat16:
        scored = replace(setup.config, text_format="bfloat16")
        searches["zerocap.text_format=bfloat16"] = replace(setup, config=scored), embeddings
    searches["language model"] = replace(setup, lm=copy.deepcopy(setup.lm).to(half)), embeddings
    reference = setup.fast()
    expected = reference.captions(embeddings)
    for name, (changed, given) in searches.items():
        found = changed.fast().captions(given)
        yield name, compare_captions(embeddings, expected, found, reference.label_features)


def on_embeddings(arguments: argparse.Namespace) -> bool:
    """Print the table; False where float32 differs from itself."""
    setup = SETUPS[arguments.models]()
    embeddings = setup.embeddings(arguments.count)
    device = pick_device(arguments.device)
    setup = replace(setup, lm=setup.lm.to(device), clip=setup.clip.to(device))
    print(f"{arguments.models}, {arguments.count} embeddings, {circumstances(arguments, device)}\n")
    print(
        f"| {arguments.precision} | labels that differ | beams that differ | median loss | largest | fit better |\n|"
        + "---|" * 6
    )
    changes = {}
    for name, change in caption_changes(setup, embeddings, getattr(torch, arguments.precision)):
        print(change.row(name), flush=True)  # a row takes minutes
        changes[name] = change
    return changes[CONTROL].identical


def circumstances(arguments: argparse.Namespace, device: torch.device) -> str:
    where = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else f"{device.type}, {arguments.threads} thread(s)"
    )
    return f"{where}, torch {torch.__version__}, zeroguide {__version__}"


@dataclass
class Recorder:
    """Describes as another does, and keeps what it says of the first nodes it is asked for: the candidates."""

    describer: Describer
    candidates: dict[int, Described] = field(default_factory=dict)

    def describe(self, works: Sequence[ImageWork], nodes: Sequence[Sequence[int]]) -> list[dict[int, Described]]:
        found = self.describer.describe(works, nodes)
        self.candidates = self.candidates or found[0]
        return found


@dataclass(frozen=True, eq=False)
class Outcome:
    """One image: its candidates, what each is called, and the merged segments."""

    tree: SegmentTree
    candidates: list[Described]
    segments: Segmentation

    @property
    def labels(self) -> NDArray[np.str_]:
        """(k,) of the candidates."""
        return np.array([one.label for one in self.candidates])

    @property
    def label_map(self) -> NDArray[np.str_]:
        """(H, W) what each pixel is called in the end."""
        return np.array(self.segments.labels)[self.segments.index_map]

    @property
    def bits(self) -> tuple:
        """Everything that float32 must give twice."""
        arrays = [self.tree.leaf_map, self.segments.index_map, self.segments.embeddings, self.segments.scores]
        arrays += [array for one in self.candidates for array in (one.embedding, one.text_embedding)]
        names = [*self.segments.labels, *(one.label for one in self.candidates)]
        return self.tree.leaves, names, [array.tobytes() for array in arrays]


def segment(model: ZeroGuidance, image: NDArray[np.uint8], tree: SegmentTree | None = None) -> Outcome:
    """As `model(image)`; tree: candidates found before."""
    tree = tree or model.oversegment(image)
    recorder = Recorder(model.describer)
    (segments,) = model.merge_segments([ImageWork(image, tree, model.encoder, {})], recorder)
    return Outcome(tree, [recorder.candidates[leaf] for leaf in tree.leaves], segments)


def best_matches(expected: NDArray[np.integer], found: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray]:
    """(k,) per region of an (H, W) index map the region of another with the highest IoU, and (k,) that IoU."""
    rows, columns = int(expected.max()) + 1, int(found.max()) + 1
    pairs = expected.astype(np.int64) * columns + found
    both = np.bincount(pairs.ravel(), minlength=rows * columns).reshape(rows, columns)
    iou = both / (both.sum(axis=1)[:, None] + both.sum(axis=0) - both)
    return iou.argmax(axis=1), iou.max(axis=1)


@dataclass
class PhotoChange:
    """Over images: candidates' IoU with the best match, losses where its label differs, shares of pixels renamed."""

    ious: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    renamed: list[float] = field(default_factory=list)
    identical: bool = True

    def add(self, expected: Outcome, found: Outcome, features: Callable[[list[str]], Tensor]) -> None:
        matches, ious = best_matches(expected.tree.leaf_map, found.tree.leaf_map)
        embeddings = torch.from_numpy(np.stack([one.embedding for one in expected.candidates]))
        self.ious += ious.tolist()
        self.losses += label_losses(embeddings, expected.labels.tolist(), found.labels[matches].tolist(), features)
        self.renamed.append(float((expected.label_map != found.label_map).mean()))
        self.identical &= found.bits == expected.bits

    def row(self, name: str) -> str:
        same = share(self.renamed.count(0.0), len(self.renamed))
        return (
            f"| {name} | {statistics.mean(self.ious):.3f} | {share(len(self.losses), len(self.ious))} "
            f"| {printed_losses(self.losses)} | {statistics.mean(self.renamed):.1%} | {same} |"
        )


def one_level_of_noise(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Every value one up, one down or as it was: what no eye sees, to compare rounding with."""
    noise = np.random.default_rng(0).integers(-1, 2, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def photo_changes(
    preset: str, images: Iterable[NDArray[np.uint8]], half: torch.dtype, device: torch.device
) -> dict[str, PhotoChange]:
    """What happens to images where the vision towers run in half precision as on a GPU, `CONTROL` first."""
    config = get_preset(preset)

    def build(vision: torch.dtype) -> ZeroGuidance:
        return assemble(load_models(config, preset), config, device, vision=vision)

    # Each pipeline has its own caches: what is in them decides which texts go through the tower together.
    full, again, noisy = (build(torch.float32) for _ in range(3))
    rounded = build(half)

    def features(labels: list[str]) -> Tensor:
        return full.labeller.clip_text.encode_labels(labels, config.zerocap.prompt)

    changes: dict[str, PhotoChange] = defaultdict(PhotoChange)
    for image in images:
        expected = segment(full, image)
        for name, found in (
            (CONTROL, segment(again, image)),
            ("embeddings alone, on float32's candidates", segment(rounded, image, expected.tree)),
            ("both vision towers, as on a GPU", segment(rounded, image)),
            ("float32, noise of one grey level", segment(noisy, one_level_of_noise(image))),
        ):
            changes[name].add(expected, found, features)
    return changes


def on_photos(arguments: argparse.Namespace) -> bool:
    """Print the table; False where float32 differs from itself."""
    paths = find_images([arguments.photos]) if arguments.photos else sample_paths()
    device = pick_device(arguments.device)
    images = map(load_image, tqdm(paths, unit="photo"))
    changes = photo_changes(arguments.preset, images, getattr(torch, arguments.precision), device)
    print(f"preset {arguments.preset}, {len(paths)} photos, {circumstances(arguments, device)}\n")
    print(
        f"| {arguments.precision} | candidates' mean IoU | candidates' labels that differ | median loss | largest "
        "| fit better | pixels renamed | photos with the same map |\n|" + "---|" * 8
    )
    for name, change in changes.items():
        print(change.row(name))
    return changes[CONTROL].identical


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=["bfloat16", "float16"], default="bfloat16")
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("embeddings")
    command.set_defaults(run=on_embeddings)
    command.add_argument("--models", choices=SETUPS, default="mini")
    command.add_argument("--count", type=int, default=200)
    command = commands.add_parser("photos")
    command.set_defaults(run=on_photos)
    command.add_argument("--preset", default="mini")
    command.add_argument("--photos", type=Path, help="a folder of photos (default: the samples)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.backends.cudnn.allow_tf32 = False  # what is called float32 is to be it on a GPU too
    if not arguments.run(arguments):
        raise SystemExit("float32 differs from itself: nothing above can be trusted")


if __name__ == "__main__":
    main()
