"""The vision teacher: for what the trunk sees in a region, a direction in the sentence teacher's space.

Two voices, each a mean of names weighted by their probability: ImageNet's own classifier (ConSE, Norouzi et al. 2014),
which knows things, and a small classifier of regions that were named by eye, since ImageNet knows no sky, wall or
grass.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from zgcore.errors import WeightsError
from zgcore.mini.architecture import HEAD_CHANNELS
from zgcore.mini.training.phrases import frequency
from zgcore.mini.training.sentences import centre
from zgcore.wordnet import read_synsets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from zgcore.mini.training.sentences import SentenceTeacher
    from zgcore.wordnet import Synset

NAMED_REGIONS = Path(__file__).parent / "named_regions.npz"
TOP, SOFTNESS = 10, 1.5  # ImageNet classes that have a say, and the temperature of their probabilities
KIND_SHARE = 0.5  # weight of "dog" beside "Shih-Tzu"
KIND_FREQUENCY = 3.6  # a kind is a word at least this frequent (Zipf)
REGULARISATION = 0.03  # scikit-learn's C
STAGE_SHARE = 0.7  # weight of the stages' channels beside the last convolution's
TOO_GENERAL = frozenset(
    """
    animal artifact artefact instrumentality instrumentation object device structure container equipment whole entity
    organism unit matter substance implement covering material instrument conveyance transport being fauna creature
    beast brute construction way part area passage opening machine mechanism system support tool protection article
    thing piece body bar frame set line network top cover guard control restraint formation land region location food
    dish nutriment nourishment sustenance vertebrate chordate carnivore mammal placental
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True)
class NamedRegions:
    """features: (n, 1800) float32, means of `regions.token_features` over regions. names: n, given by eye."""

    features: NDArray[np.float32]
    names: list[str]

    def __add__(self, other: NamedRegions) -> NamedRegions:
        return NamedRegions(np.concatenate([self.features, other.features]), self.names + other.names)

    def save(self, file: Path) -> None:
        """Write them with 8 bits a channel."""
        low = self.features.min(axis=0)
        step = np.maximum((self.features.max(axis=0) - low) / 255, 1e-9)
        levels = np.round((self.features - low) / step).astype(np.uint8)
        np.savez_compressed(file, levels=levels, low=low, step=step, names=np.array(self.names))

    @classmethod
    def load(cls, file: Path = NAMED_REGIONS) -> NamedRegions:
        """Those that ship, or a file that `save` wrote. WeightsError where it is missing or damaged."""
        try:
            with np.load(file, allow_pickle=False) as data:
                features = data["levels"] * data["step"] + data["low"]
                return cls(features.astype(np.float32), data["names"].tolist())
        except (OSError, KeyError, ValueError) as error:
            raise WeightsError(f"{file}: no usable file of named regions ({error})") from None


class Teacher:
    """(n, 1800) region features -> (n, 384) unit directions."""

    def __init__(self, classifier: nn.Linear, classes: Tensor, named: NamedRegions, names: Tensor) -> None:
        """classifier: ImageNet's. classes: (1000, 384) of its classes. names: (k, 384) of `named_classes(named)`."""
        self.classifier = classifier
        self.classes = classes
        self.names = names
        self.mean, self.scale, self.weight, self.bias = fit_names(named)

    @torch.inference_mode()
    def __call__(self, features: Tensor) -> Tensor:
        scores = self.classifier(features[:, :HEAD_CHANNELS]) / SOFTNESS
        shares, best = scores.softmax(dim=1).topk(TOP, dim=1)
        seen = (shares[..., None] * self.classes[best]).sum(dim=1)
        standard = (features - self.mean) * self.scale
        named = (standard @ self.weight.T + self.bias).softmax(dim=1) @ self.names
        return F.normalize(seen + named, dim=1)


def named_classes(named: NamedRegions) -> list[str]:
    """The different names, in the order of the classifier's rows."""
    return sorted(set(named.names))


def fit_names(named: NamedRegions) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Multinomial logistic regression of the names: mean, scale (1800,), weight (k, 1800), bias (k,).

    A name counts with the root of its number, so that persons and dogs do not drown the forks.
    """
    from sklearn.linear_model import LogisticRegression

    mean, deviation = named.features.mean(axis=0), named.features.std(axis=0)
    share = np.full(named.features.shape[1], STAGE_SHARE, dtype=np.float32)
    share[:HEAD_CHANNELS] = 1
    scale = share / (deviation + 0.05 * named.features.std())
    kinds, rows, counts = np.unique(named.names, return_inverse=True, return_counts=True)
    weights = counts[rows] ** -0.5
    model = LogisticRegression(C=REGULARISATION, max_iter=300)
    model.fit((named.features - mean) * scale, rows, sample_weight=weights / weights.mean())
    parts = (mean, scale, model.coef_, model.intercept_)
    assert len(model.coef_) == len(kinds)
    mean_, scale_, weight, bias = (torch.from_numpy(np.asarray(part, dtype=np.float32)) for part in parts)
    return mean_, scale_, weight, bias


def imagenet_directions(sentences: SentenceTeacher, mean: Tensor, wordnet: Path) -> Tensor:
    """(1000, 384) unit vectors: each class's names and, with half the weight, the kind of thing it is."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    synsets = read_synsets(wordnet)
    spoken = []  # per class its names, then its kind
    for number in range(len(info.label_names())):
        names = info.index_to_description(number).split(", ")
        kind = kind_of(info.index_to_label_name(number)[1:], synsets) or names[0]
        spoken.append([*names, kind])
    vectors = centre(sentences.encode_names([name for names in spoken for name in names]), mean)
    parts = vectors.split([len(names) for names in spoken])
    return F.normalize(torch.stack([part[:-1].mean(dim=0) + KIND_SHARE * part[-1] for part in parts]), dim=1)


def kind_of(offset: str, synsets: Mapping[str, Synset]) -> str | None:
    """The first everyday word for a synset or one of the five above it; None where there is none."""
    synset = synsets[offset]
    for _ in range(6):
        everyday = (w for w in synset.lemmas if w.isalpha() and w not in TOO_GENERAL and frequency(w) >= KIND_FREQUENCY)
        if kind := next(everyday, None):
            return kind
        if not synset.hypernyms:
            break
        synset = synsets[synset.hypernyms[0]]
    return None


def name_directions(names: Sequence[str], sentences: SentenceTeacher, mean: Tensor) -> Tensor:
    """(n, 384) unit vectors of names."""
    return centre(sentences.encode_names(list(names)), mean)
