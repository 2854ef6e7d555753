"""The fast ZeroCap against the plain one of benchmarks/plain_zerocap.py: same texts, seconds, and work.

    python -m benchmarks.zerocap timing --models mini     # seconds for 20 segments, both ways, results compared
    python -m benchmarks.zerocap same --models mini       # 200 random embeddings, beams compared token by token
    python -m benchmarks.zerocap work                     # FLOPs of the text tower at the published sizes

Run from the repository's root. `--models tiny` are the reference models of tests/golden.py, random; `mini` are the real
weights that ship. What was measured on fewer segments and multiplied is marked "extrapolated".
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import zgcore  # noqa: F401 - it must come before whatever imports torchvision

# isort: split
import torch
import torch.nn.functional as F
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.tokenizer import SimpleTokenizer
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.plain_zerocap import PlainStep, PlainZeroCap
from tests import golden
from zgcore.clip_text import ClipText
from zgcore.config import ZeroCapConfig
from zgcore.deterministic import deterministic_
from zgcore.mini.load import load_mini, words
from zgcore.models import load_language_model
from zgcore.presets import PRESETS
from zgcore.weights import WeightSource
from zgcore.zerocap import ZeroCap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from zgcore.clip_text import Prefixes
    from zgcore.token_trie import Ragged

T = TypeVar("T")
TIE = 1e-5  # log probabilities nearer than this are a tie in float32
CAPTION_TURNS = 9
NOISE = 0.03  # standard deviation of the noise on embeddings of words, which have unit length
Tokens = tuple[int, ...]


@dataclass(frozen=True)
class Setup:
    """Models of both sides. embeddings: how many -> (n, d), the same every time."""

    lm: Any
    lm_tokenizer: Any
    clip: Any
    clip_tokenizer: Any
    config: ZeroCapConfig
    embeddings: Callable[[int], Tensor]

    def fast(self, folders: Sequence[Path] = ()) -> ZeroCap:
        clip_text = ClipText(self.clip, self.clip_tokenizer)
        return ZeroCap(self.lm, self.lm_tokenizer, clip_text, self.config, first_step_folders=folders)

    def plain(self, *, remember: bool = False) -> PlainZeroCap:
        return PlainZeroCap(self.lm, self.lm_tokenizer, self.clip, self.clip_tokenizer, self.config, remember=remember)


def tiny(**settings: Any) -> Setup:
    """The reference models, with the settings of the published captions of length 4."""
    clip = golden.text_tower()
    config = replace(ZeroCapConfig(beams=3, max_tokens=4), **settings)

    def embeddings(count: int) -> Tensor:
        return torch.randn(count, clip.output_dim, generator=torch.Generator().manual_seed(0))

    return Setup(golden.language_model(), golden.gpt2_tokenizer(), clip.tower, clip.tokenizer, config, embeddings)


def mini(**settings: Any) -> Setup:
    """The mini preset. Embeddings are sums of two random words' with random shares, and noise."""
    models = load_mini()
    config = replace(PRESETS["mini"].zerocap, **settings)
    clip_text = ClipText(models.clip, models.tokenizer)

    def embeddings(count: int) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        vocabulary = words()
        chosen = torch.randint(len(vocabulary), (2 * count,), generator=generator).tolist()
        features = clip_text.encode_labels([vocabulary[index] for index in chosen], config.prompt)  # (2n, d)
        share = torch.rand(count, 1, generator=generator)
        mixed = F.normalize(share * features[:count] + (1 - share) * features[count:], dim=-1)
        return mixed + NOISE * torch.randn(mixed.shape, generator=generator)

    return Setup(models.language_model, models.lm_tokenizer, models.clip, models.tokenizer, config, embeddings)


SETUPS: dict[str, Callable[..., Setup]] = {"tiny": tiny, "mini": mini}


@dataclass(frozen=True)
class Difference:
    """Where two searches part. step: the token, from 0. gap: of the log probabilities that were ordered differently."""

    segment: int
    step: int
    gap: float


def fast_kept(zerocap: ZeroCap, embeddings: Tensor) -> tuple[list[list[set[Tokens]]], list[list[tuple[Tokens, float]]]]:
    """Of every segment: the beams kept at each step, and the final ones with their scores, best first."""
    search = zerocap.start(embeddings)
    kept: list[list[set[Tokens]]] = [[] for _ in embeddings]
    while len(search.beams) and search.beams.step < zerocap.config.max_tokens:
        search = zerocap.advance(search, zerocap.next_log_probabilities(search))
        for segment, steps in enumerate(kept):
            steps.append({beam.tokens for beam in search.beams.ranked(segment)})
    final = [[(beam.tokens, beam.score) for beam in beams] for beams in zerocap.texts(search)]
    return kept, final


def compare(
    segment: int, kept: list[set[Tokens]], final: list[tuple[Tokens, float]], steps: list[PlainStep]
) -> Difference | None:
    """None where both searches end in the same tokens in the same order."""
    ours, theirs = [tokens for tokens, _ in final], [beam.tokens for beam in steps[-1].kept]
    if ours == theirs:
        return None
    for number, (mine, step) in enumerate(zip(kept, steps, strict=False)):
        yours = {beam.tokens for beam in step.kept}
        if mine != yours:
            return Difference(segment, number, gap_of(step, mine - yours, yours - mine))
    place = next(index for index, (one, other) in enumerate(zip(ours, theirs, strict=True)) if one != other)
    return Difference(segment, len(steps) - 1, gap_of(steps[-1], {ours[place]}, {theirs[place]}))


def gap_of(step: PlainStep, ours: set[Tokens], theirs: set[Tokens]) -> float:
    """How far apart the plain search scores what only one of the two kept; infinite where it never weighed it."""
    scores = [step.considered.get(tokens, float("-inf")) for tokens in ours]
    return max(step.considered[tokens] for tokens in theirs) - min(scores, default=float("-inf"))


@dataclass(frozen=True)
class Comparison:
    """differences: the segments that do not end alike. largest: difference of scores among those that do."""

    count: int
    differences: list[Difference]
    largest: float


def compare_all(setup: Setup, embeddings: Tensor) -> Comparison:
    """Fast and plain on every embedding; the plain side remembers texts, each still encoded plainly."""
    kept, final = fast_kept(setup.fast(), embeddings)
    plain = setup.plain(remember=True)
    differences: list[Difference] = []
    largest = 0.0
    for segment, embedding in enumerate(embeddings):
        steps = plain.describe(embedding)
        found = compare(segment, kept[segment], final[segment], steps)
        if found:
            differences.append(found)
            continue
        pairs = zip(final[segment], steps[-1].kept, strict=True)
        largest = max(largest, *(abs(score - beam.score) for (_, score), beam in pairs))
    return Comparison(len(embeddings), differences, largest)


def same(arguments: argparse.Namespace) -> None:
    settings = {} if arguments.candidates is None else {"candidates": arguments.candidates}
    setup = SETUPS[arguments.models](**settings)
    start = time.perf_counter()
    result = compare_all(setup, setup.embeddings(arguments.skip + arguments.count)[arguments.skip :])
    equal = result.count - len(result.differences)
    print(
        f"{arguments.models}, {setup.config.candidates} candidates: {equal} of {result.count} end in the same tokens "
        f"in the same order; their scores differ by at most {result.largest:.1e} ({time.perf_counter() - start:.0f} s)"
    )
    for found in result.differences:
        verdict = "a tie" if found.gap < TIE else "NOT A TIE"
        number = arguments.skip + found.segment
        print(f"embedding {number}: parts at token {found.step}, gap {found.gap:.1e}: {verdict}")
    if any(found.gap >= TIE for found in result.differences):
        raise SystemExit(1)


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


@dataclass(frozen=True)
class Turn:
    """Seconds of one turn: plain for `plain_segments`; fast for all, with nothing kept, with a table, and again."""

    plain: float
    cold: float
    table: float
    warm: float


def take_turn(setup: Setup, embeddings: Tensor, plain_segments: int, folder: Path) -> Turn:
    """Plain and fast, one after the other. RuntimeError where their tokens differ."""
    plain = setup.plain()
    seconds, searches = timed(lambda: [plain.describe(embedding) for embedding in embeddings[:plain_segments]])
    cold, expected = timed(lambda: setup.fast().describe(embeddings))
    kept = setup.fast([folder])
    kept.describe(embeddings[:1])
    fast = setup.fast([folder])
    table, described = timed(lambda: fast.describe(embeddings))
    warm, again = timed(lambda: fast.describe(embeddings))
    theirs = [[beam.tokens for beam in steps[-1].kept] for steps in searches]
    ours = [[[beam.tokens for beam in beams] for beams in result] for result in (expected, described, again)]
    if ours[0][:plain_segments] != theirs or ours[1] != ours[0] or ours[2] != ours[0]:
        raise RuntimeError("the searches end in different tokens; see `same`")
    return Turn(seconds, cold, table, warm)


def timing(arguments: argparse.Namespace) -> None:
    setup = SETUPS[arguments.models]()
    count, some = arguments.segments, min(arguments.plain_segments, arguments.segments)
    embeddings = setup.embeddings(count)
    setup.fast().describe(embeddings[:1])  # what every first run of a process pays
    with tempfile.TemporaryDirectory() as folder:
        turns = [take_turn(setup, embeddings, some, Path(folder)) for _ in range(arguments.turns)]
    plain = statistics.median(turn.plain for turn in turns) * count / some
    marked = "" if some == count else f" (extrapolated from {some})"
    print(f"{arguments.models}, {count} segments, {torch.get_num_threads()} thread(s), medians of {len(turns)}\n")
    print("| path | seconds | times faster |\n|---|---|---|")
    print(f"| plain{marked} | {plain:.1f} | 1 |")
    for name in ("cold", "table", "warm"):
        seconds = statistics.median(getattr(turn, name) for turn in turns)
        ratio = statistics.median(turn.plain * count / some / getattr(turn, name) for turn in turns)
        print(f"| fast, {LABELS[name]} | {seconds:.2f} | {ratio:.0f} |")
    if arguments.models == "tiny":
        published_captions(setup)


LABELS = {"cold": "nothing kept", "table": "first step on disk", "warm": "described before"}


def published_captions(setup: Setup) -> None:
    """Seconds for each of the three published captions of length 4, and for all; they must come out word for word."""
    embeddings = golden.load("zerocap.npz")["embeddings"]
    expected = golden.texts()["length4_beam3"]
    asked = [(texts[0].strip(), slice(number, number + 1)) for number, texts in enumerate(expected)]
    print(f"\nMedians of {CAPTION_TURNS}, in brackets the fastest and the slowest:\n")
    print("| published caption | " + " | ".join(LABELS.values()) + " |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        setup.fast([Path(folder)]).describe(embeddings)
        for name, which in (*asked, ("all three together", slice(None))):
            turns = [
                caption_seconds(setup, Path(folder), embeddings[which], expected[which]) for _ in range(CAPTION_TURNS)
            ]
            cells = (f"{statistics.median(s):.2f} s [{min(s):.2f}, {max(s):.2f}]" for s in zip(*turns, strict=True))
            print(f"| {name} | " + " | ".join(cells) + " |")


def caption_seconds(
    setup: Setup, folder: Path, embeddings: NDArray[np.float32], expected: list[list[str]]
) -> tuple[float, float, float]:
    """Seconds with nothing kept, with the first step's table in the folder, and once more with all texts known."""
    cold, first = timed(partial(setup.fast().describe, embeddings))
    describe = partial(setup.fast([folder]).describe, embeddings)
    table, second = timed(describe)
    warm, third = timed(describe)
    for described in (first, second, third):
        if [[beam.text for beam in beams] for beams in described] != expected:
            raise RuntimeError("the published captions did not come out")
    return cold, table, warm


class CountedClipText(ClipText):
    """A text tower that adds up its floating-point operations."""

    flops = 0

    def read_prefixes(self, prefixes: Sequence[Tokens]) -> Prefixes:
        return self._counted(partial(super().read_prefixes, prefixes))

    def encode_continuations(self, prefixes: Prefixes, owners: NDArray[np.int64], rests: Ragged) -> Tensor:
        return self._counted(partial(super().encode_continuations, prefixes, owners, rests))

    def _counted(self, run: Callable[[], T]) -> T:
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            result = run()
        self.flops += counter.get_total_flops()
        return result


def text_tower_of_vit_l() -> CLIP:
    """The text tower of ViT-L/14 at its own size, weights random, beside a vision tower of no size."""
    vision = CLIPVisionCfg(layers=1, width=64, head_width=64, patch_size=16, image_size=32)
    model = CLIP(768, vision, CLIPTextCfg(width=768, heads=12, layers=12), quick_gelu=True)
    return deterministic_(model, "clip.", 0.02).eval().requires_grad_(False)


def plain_flops(clip: CLIP, tokenizer: SimpleTokenizer, count: int) -> int:
    """Of one padded batch."""
    tokens = tokenizer(["Image of a cat"] * count)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        clip.encode_text(tokens)
    return counter.get_total_flops()


def work(arguments: argparse.Namespace) -> None:
    """One segment, two tokens, GPT-2 medium and ViT-L/14's text tower, published settings, random weights."""
    torch.backends.mha.set_fastpath_enabled(False)  # its fused operator is not counted
    config = ZeroCapConfig(max_tokens=2)
    source = WeightSource.random(tokenizer=golden.DATA / "gpt2_tokenizer.json")
    lm, lm_tokenizer = load_language_model(config, source)
    tokenizer = SimpleTokenizer()
    clip = text_tower_of_vit_l()
    texts = (1 + config.beams) * config.iterations * config.candidates
    batch = 16
    plain = plain_flops(clip, tokenizer, batch) * texts / batch
    clip_text = CountedClipText(clip, tokenizer)
    embedding = torch.randn(1, clip_text.output_dim, generator=torch.Generator().manual_seed(0))
    seconds, _ = timed(lambda: ZeroCap(lm, lm_tokenizer, clip_text, config).describe(embedding))
    print(f"plain: {plain / 1e12:.1f} TFLOP for {texts:,} texts (extrapolated from a batch of {batch})")
    print(f"fast: {clip_text.flops / 1e12:.2f} TFLOP, {plain / clip_text.flops:.0f} times less, {seconds:.0f} s in all")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("timing")
    command.set_defaults(run=timing)
    command.add_argument("--models", choices=SETUPS, default="mini")
    command.add_argument("--segments", type=int, default=20)
    command.add_argument("--plain-segments", type=int, default=1, help="how many the plain side is measured on")
    command.add_argument("--turns", type=int, default=3)
    command = commands.add_parser("same")
    command.set_defaults(run=same)
    command.add_argument("--models", choices=SETUPS, default="mini")
    command.add_argument("--count", type=int, default=200)
    command.add_argument("--skip", type=int, default=0, help="leave out the first ones, to share the work")
    command.add_argument("--candidates", type=int, help="fewer than the preset's, to save time on the plain side")
    command = commands.add_parser("work")
    command.set_defaults(run=work)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.run(arguments)


if __name__ == "__main__":
    main()
