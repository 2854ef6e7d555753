"""Where weights are: the model hub, a folder, or nowhere (random). Verifying and listing them; `pull` fetches them.

A weights folder holds dino.safetensors, clip.safetensors, language_model/ (config.json, model.safetensors, tokenizer
files), preset.json and manifest.json. Only safetensors are read: nothing that comes from outside is unpickled or run.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from zgcore import hub
from zgcore.errors import ConfigError, WeightsError
from zgcore.manifest import MANIFEST, read_manifest
from zgcore.presets import BUNDLED, PRESET_FILE, PRESETS, did_you_mean, get_preset

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from zgcore.config import ClipConfig, DinoConfig, PipelineConfig, ZeroCapConfig

Component = Literal["dino", "clip", "language_model"]
State = Literal["ok", "bundled", "cached", "absent", "missing", "damaged", "unlisted"]

LANGUAGE_MODEL = "language_model"
SINGLE_FILE = "model.safetensors"
SHARD_INDEX = "model.safetensors.index.json"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
)

_OTHER_LICENCE = "see its page on the hub"
# Licences as the models' pages state them, and bytes: four for each parameter (GPT-2's files carry causal masks too).
_LICENCE_AND_SIZE: dict[str, tuple[str, int]] = {
    "timm/vit_small_patch8_224.dino": ("Apache-2.0", 86_700_000),
    "timm/vit_large_patch14_clip_336.openai": ("Apache-2.0", 1_712_000_000),
    "timm/vit_base_patch16_clip_224.openai": ("Apache-2.0", 598_500_000),
    "openai-community/gpt2-medium": ("MIT", 1_520_000_000),
    "distilbert/distilgpt2": ("Apache-2.0", 353_000_000),
}


@dataclass(frozen=True)
class Origin:
    """Where the hub keeps a component. file: the weights' name there; empty for a language model, which has many."""

    component: Component
    repo: str
    file: str = ""

    @property
    def licence(self) -> str:
        return _LICENCE_AND_SIZE.get(self.repo, (_OTHER_LICENCE, 0))[0]

    @property
    def size(self) -> int | None:
        """About how many bytes, None where that is not known."""
        return _LICENCE_AND_SIZE.get(self.repo, ("", 0))[1] or None


@dataclass(frozen=True)
class WeightStatus:
    """One component of a preset (`available`), or one file of a folder (`verify`).

    name: component or file. preset: the preset's name, empty in a folder. state: of a component "bundled", "cached" or
    "absent"; of a file "ok", "missing", "damaged" or "unlisted" (not in the manifest). size: bytes, approximate for
    what is absent, None if unknown. detail: what is wrong, in words.
    """

    name: str
    preset: str
    state: State
    origin: str
    licence: str
    size: int | None
    detail: str = ""


class WeightSource(ABC):
    """Where models get their weights from; made by `hub`, `from_folder` or `random`.

    `dino`, `clip` and `language_model` find files, and say what messages call them.
    """

    @staticmethod
    def hub(preset: str = "paper") -> HubWeights:
        """The hub's cache on this machine, then the hub. `preset` is named in the cure when weights are missing."""
        return HubWeights(preset)

    @staticmethod
    def from_folder(folder: Path, preset: str = "paper") -> FolderWeights:
        """A folder as `pull` writes it. WeightsError if there is none."""
        return FolderWeights(folder, preset)

    @staticmethod
    def random(scale: float = 0.02, tokenizer: Path | None = None) -> RandomWeights:
        """Deterministic noise; a language model needs GPT-2's tokenizer.json."""
        return RandomWeights(scale, tokenizer)

    @abstractmethod
    def dino(self, config: DinoConfig) -> tuple[Path, str]:
        """DINO's safetensors file. WeightsError if it cannot be had or is damaged."""

    @abstractmethod
    def clip(self, config: ClipConfig) -> tuple[Path, str]:
        """CLIP's safetensors file. WeightsError if it cannot be had or is damaged."""

    @abstractmethod
    def language_model(self, config: ZeroCapConfig) -> tuple[Path, str]:
        """A folder with config.json, weights and tokenizer. WeightsError if it cannot be had or is damaged."""


@dataclass(frozen=True)
class HubWeights(WeightSource):
    """The hub's cache on this machine, then the hub. HF_HUB_OFFLINE, HF_HOME and HF_ENDPOINT are respected.

    preset: named in the cure when weights are missing.
    """

    preset: str = "paper"

    def dino(self, config: DinoConfig) -> tuple[Path, str]:
        return self._file(dino_origin(config))

    def clip(self, config: ClipConfig) -> tuple[Path, str]:
        return self._file(clip_origin(config))

    def language_model(self, config: ZeroCapConfig) -> tuple[Path, str]:
        origin = language_model_origin(config)
        with cure(origin, self.preset):
            hub.fetch(origin.repo, "config.json")  # settles the version
            revision, files = language_model_files(origin.repo)
            paths = [hub.fetch(origin.repo, file, revision) for file in files]
        return paths[0].parent, origin.repo

    def _file(self, origin: Origin) -> tuple[Path, str]:
        with cure(origin, self.preset):
            return hub.fetch(origin.repo, origin.file), f"{origin.repo}/{origin.file}"


@dataclass(frozen=True)
class FolderWeights(WeightSource):
    """A folder as `pull` writes it; what its manifest lists is checked by size and SHA-256 before it is read.

    preset: named in the cure when weights are missing. WeightsError if there is no such folder.
    """

    folder: Path
    preset: str = "paper"

    def __post_init__(self) -> None:
        if not self.folder.is_dir():
            raise WeightsError(f"there is no weights folder {self.folder}; {_pull_command(self.preset, self.folder)}")

    def dino(self, config: DinoConfig) -> tuple[Path, str]:
        return self._file("dino.safetensors")

    def clip(self, config: ClipConfig) -> tuple[Path, str]:
        return self._file("clip.safetensors")

    def language_model(self, config: ZeroCapConfig) -> tuple[Path, str]:
        listed = [name for name in read_manifest(self.folder) if name.startswith(f"{LANGUAGE_MODEL}/")]
        for name in [f"{LANGUAGE_MODEL}/config.json", *listed]:
            self._check(name)
        return self.folder / LANGUAGE_MODEL, LANGUAGE_MODEL

    def _file(self, name: str) -> tuple[Path, str]:
        self._check(name)
        return self.folder / name, name

    def _check(self, name: str) -> None:
        file, entry = self.folder / name, read_manifest(self.folder).get(name)
        if not file.is_file():
            raise WeightsError(f"{self.folder} has no {name}; {_pull_command(self.preset, self.folder)}")
        if entry and (wrong := entry.mismatch(file)):
            raise WeightsError(f"{name} is damaged ({wrong}); {_pull_command(self.preset, self.folder)}")


@dataclass(frozen=True)
class RandomWeights(WeightSource):
    """Deterministic noise: proves shapes, means nothing.

    scale: standard deviation. tokenizer: GPT-2's tokenizer.json, needed for a language model only.
    """

    scale: float = 0.02
    tokenizer: Path | None = None

    def dino(self, config: DinoConfig) -> tuple[Path, str]:
        raise self._no_files()

    def clip(self, config: ClipConfig) -> tuple[Path, str]:
        raise self._no_files()

    def language_model(self, config: ZeroCapConfig) -> tuple[Path, str]:
        raise self._no_files()

    @staticmethod
    def _no_files() -> WeightsError:
        return WeightsError("random weights are in no file")


def dino_origin(config: DinoConfig) -> Origin:
    """ConfigError for a model that timm does not publish."""
    import timm

    if "." not in config.model or not timm.is_model_pretrained(config.model):
        hint = did_you_mean(config.model, timm.list_pretrained())
        raise ConfigError(f"dino.model {config.model!r} is no pretrained model of timm's{hint}")
    published = timm.get_pretrained_cfg(config.model)
    return Origin("dino", published.hf_hub_id, published.hf_hub_filename or SINGLE_FILE)


def clip_origin(config: ClipConfig) -> Origin:
    """ConfigError for a model or a tag that open_clip does not publish on the hub."""
    import open_clip

    tags = open_clip.list_pretrained_tags_by_model(config.model)
    if config.pretrained not in tags:
        offered = f" (tags: {', '.join(tags)})" if tags else did_you_mean(config.model, open_clip.list_models())
        raise ConfigError(f"open_clip has no weights {config.pretrained!r} for clip.model {config.model!r}{offered}")
    repo, _, file = open_clip.get_pretrained_cfg(config.model, config.pretrained).get("hf_hub", "").rpartition("/")
    if not repo:
        raise ConfigError(f"open_clip keeps the weights {config.pretrained!r} of {config.model!r} outside the hub")
    return Origin("clip", repo, f"{Path(file or 'open_clip_model').stem}.safetensors")


def language_model_origin(config: ZeroCapConfig) -> Origin:
    """The hub's name is the setting itself."""
    return Origin("language_model", config.model)


def origins(config: PipelineConfig) -> list[Origin]:
    """Where the hub keeps what a preset needs: DINO, CLIP, language model."""
    return [dino_origin(config.dino), clip_origin(config.clip), language_model_origin(config.zerocap)]


def available(presets: Iterable[str] | None = None) -> list[WeightStatus]:
    """What the presets need, and whether it is installed, in the hub's cache or yet to be pulled. Asks no network."""
    found = []
    for preset in presets or PRESETS:
        if preset in BUNDLED:
            found.append(WeightStatus("all", preset, "bundled", "zeroguide", "Apache-2.0", None))
            continue
        for origin in origins(get_preset(preset)):
            path = hub.cached(origin.repo, origin.file or SINGLE_FILE)
            size = path.stat().st_size if path else origin.size
            state: State = "cached" if path else "absent"
            found.append(WeightStatus(origin.component, preset, state, origin.repo, origin.licence, size))
    return found


def verify(folder: Path) -> list[WeightStatus]:
    """Every file of a weights folder against its manifest, sums included. WeightsError if there is no manifest."""
    manifest = read_manifest(folder)
    if not manifest:
        raise WeightsError(f"{folder} has no {MANIFEST} to verify against; {_pull_command('paper', folder)}")
    found = []
    for name, entry in manifest.items():
        file = folder / name
        wrong = entry.mismatch(file) if file.is_file() else "it is not there"
        state: State = "ok" if not wrong else "damaged" if file.is_file() else "missing"
        found.append(WeightStatus(name, "", state, entry.origin, entry.licence, entry.size, wrong))
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder).as_posix()
        if file.is_file() and name not in {*manifest, MANIFEST, PRESET_FILE} and not name.startswith("."):
            found.append(WeightStatus(name, "", "unlisted", "", "", file.stat().st_size, "not in the manifest"))
    return found


@contextmanager
def cure(origin: Origin, preset: str) -> Iterator[None]:
    """Turn "the hub cannot be reached" into the sentence that says what to do about it."""
    try:
        yield
    except hub.HubUnreachable as error:
        raise WeightsError(
            f"the weights of {origin.repo} are not on this machine and the hub cannot be reached ({error}): "
            f"connect once, or run `zeroguide weights pull --preset {preset} --to DIR` elsewhere and pass --weights DIR"
        ) from None


def _pull_command(preset: str, folder: Path) -> str:
    return f"run `zeroguide weights pull --preset {preset} --to {folder}` on a connected machine"


def language_model_files(repo: str) -> tuple[str, list[str]]:
    """The version of a language model, and its files on the hub: config.json, weights, tokenizer.

    A version that is whole in the cache is taken as it is, without asking the network.
    Raises HubUnreachable, HubFileAbsent, or WeightsError for a model without safetensors or tokenizer files.
    """
    config = hub.cached(repo, "config.json")
    revision = config.parent.name if config else hub.ask(repo, "config.json").commit
    files = _present(repo, revision, lambda file: hub.cached(repo, file, revision) is not None)
    if files is None:
        files = _present(repo, revision, lambda file: hub.exists(repo, file, revision))
    if files is None:
        raise WeightsError(f"{repo} has no safetensors weights or no tokenizer; pickled weights are not read")
    return revision, files


def _present(repo: str, revision: str, has: Callable[[str], bool]) -> list[str] | None:
    """Files of a language model for which `has` says yes; None if that is not a whole model."""
    if has(SINGLE_FILE):
        weights = [SINGLE_FILE]
    elif has(SHARD_INDEX):
        weights = [SHARD_INDEX, *shard_names(hub.fetch(repo, SHARD_INDEX, revision))]
    else:
        return None
    tokenizer = [file for file in TOKENIZER_FILES if has(file)]
    whole = {"tokenizer.json", "tokenizer.model"} & {*tokenizer} or {"vocab.json", "merges.txt"} <= {*tokenizer}
    return ["config.json", *weights, *tokenizer] if whole else None


def shard_names(index: Path) -> list[str]:
    """The files that a shard index names, which stand beside it. WeightsError if it is not such an index."""
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        if all(isinstance(name, str) and Path(name).name == name for name in names):
            return names
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise WeightsError(f"{index.name} does not list the files of the weights; fetch it again")


def pull(preset: str, folder: Path, progress: Callable[[str], None]) -> list[Path]:
    """Bring a preset's weights into a folder; see `zgcore.pulling.pull`."""
    from zgcore.pulling import pull as pull_preset

    return pull_preset(preset, folder, progress)
