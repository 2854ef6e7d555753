"""`zeroguide study create`: from runs to a folder that holds everything the study asks."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ls_backend.files import atomic_write, make_folder
from ls_backend.studies.batches import BatchSizes, arrange
from ls_backend.studies.gold import GOLD_RULES, gold_csv, made_gold, read_gold
from ls_backend.studies.instruction import write_instruction
from ls_backend.studies.label_kinds import label_kind
from ls_backend.studies.manifest import (
    QUESTIONS_FILE,
    SETTINGS_FILE,
    Question,
    Rules,
    Source,
    Study,
    StudySettings,
    load_study,
    settings_json,
    write_study,
)
from ls_backend.studies.picture_files import write_pictures
from ls_backend.studies.pictures import PictureStyle
from ls_backend.studies.redraw import redrawn, runs_gone
from ls_backend.studies.sampling import LARGE, MEDIUM, sample, strata
from ls_backend.studies.sources import open_runs, run_kind
from zgcore import __version__
from zgcore.errors import StudyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from ls_backend.studies.batches import Place
    from ls_backend.studies.gold import GoldQuestion
    from ls_backend.studies.manifest import Labels
    from ls_backend.studies.sampling import Candidate
    from ls_backend.studies.sources import Run

GOLD_FILE = "gold.csv"
SHORTEST_ID = 4  # digits


@dataclass(frozen=True)
class CreateOptions:
    """What is to be studied; see `StudySettings` and the help of the command.

    methods: of the runs these only. reassigned_by: "st", "tt" or "lexical". gold_file: see `read_gold`.
    """

    runs: Sequence[str]
    out: Path
    title: str = "Rating study"
    questions: int | None = None
    sizes: BatchSizes = field(default_factory=BatchSizes)
    raters: int = 3
    labels: Labels = "predicted"
    reassigned_by: str = "st"
    methods: Sequence[str] | None = None
    per_image: int | None = None
    gold_file: Path | None = None
    seed: int = 0
    rules: Rules = field(default_factory=Rules)
    style: PictureStyle = field(default_factory=PictureStyle)
    workers: int | None = None


@dataclass(frozen=True)
class Created:
    """The study, how many pictures were made now, and what its maker should know."""

    study: Study
    pictures: int
    notes: tuple[str, ...]


def create(options: CreateOptions, tell: Callable[[int, int], None] = lambda *_: None) -> Created:
    """Make a study, or finish one of the same settings that was stopped. tell: see `write_pictures`.

    Where the runs are gone, a finished manifest is enough to draw its pictures again. StudyError where there is nothing
    to ask, or a run or another study in the folder; OutputError where it cannot be written.
    """
    if run_kind(options.out) is not None:
        raise StudyError(f"{options.out} is a run; choose another folder for the study with --out")
    if (options.out / SETTINGS_FILE).exists() and runs_gone(options.runs):
        return Created(*redrawn(options, tell), ("the runs are gone; pictures were drawn from the study's questions",))
    runs = open_runs(options.runs, options.labels, options.methods, options.reassigned_by)
    make_folder(options.out)
    frames = [_read(run) for run in runs]
    _check_photos(frames)
    frame = [candidate for one in frames for candidate in one.candidates]
    rated = sample(frame, options.questions, options.per_image, options.seed)
    if not rated:
        raise StudyError("the runs have no segments that can be asked about: " + _why(frames))
    gold = _gold(options, frames, rated)
    batches = list(arrange(rated, gold, options.sizes, options.seed))
    dealt = {(place.candidate, place.expected) for batch in batches for place in batch if place.kind == "gold"}
    gold = [one for one in gold if (one.candidate, one.expected) in dealt]
    settings = _settings(options, frames, rated, gold)
    questions = _questions(batches, frames, options)
    study = _written(options.out, settings, questions)
    with atomic_write(options.out / GOLD_FILE) as handle:
        handle.write(gold_csv(gold))
    write_instruction(study.instruction)
    pictures = write_pictures(study, options.style, options.workers, tell)
    return Created(study, pictures, tuple(_notes(options, frames, len(rated), gold)))


@dataclass(frozen=True)
class Frame:
    """The segments of one run. digests: of its photos, by image. source: for the manifest."""

    run: Run
    candidates: list[Candidate]
    digests: Mapping[str, str]
    source: Source


def _read(run: Run) -> Frame:
    candidates: list[Candidate] = []
    digests = {}
    for image in run.images():
        candidates += image.candidates
        digests[image.name] = image.digest
    path = os.path.abspath(run.path)
    left_out = dict(sorted(run.left_out.items()))
    source = Source(run.method, run.kind, path, run.version, len(digests), len(candidates), left_out)
    return Frame(run, candidates, digests, source)


def _check_photos(frames: Iterable[Frame]) -> None:
    """StudyError where two runs have different photos of one name: their images could not be told apart."""
    known: dict[str, tuple[str, str]] = {}
    for frame in frames:
        for image, digest in frame.digests.items():
            method, other = known.setdefault(image, (frame.run.method, digest))
            if digest and other and digest != other:
                raise StudyError(
                    f'{method} and {frame.run.method} have different photos called "{image}"; make a study of each'
                )


def _why(frames: Iterable[Frame]) -> str:
    reasons: Counter[str] = Counter()
    for frame in frames:
        reasons.update(frame.source.left_out)
    return ", ".join(f"{count} {reason}" for reason, count in reasons.items()) or "they are empty"


def _gold(options: CreateOptions, frames: Sequence[Frame], rated: Sequence[Candidate]) -> list[GoldQuestion]:
    """The user's gold questions; where none of them has a label that fits, or that does not, made ones of that sort."""
    need = options.sizes.gold * options.sizes.batches(len(rated))
    if not need:
        return []
    frame = [candidate for one in frames for candidate in one.candidates]
    gold = [] if options.gold_file is None else read_gold(options.gold_file, frame)
    lacking = {high: 0 if any(one.is_high == high for one in gold) else need for high in (True, False)}
    asked = {candidate.key for candidate in rated}
    for left, one in zip(range(len(frames), 0, -1), frames, strict=True):
        shares = {high: -(-count // left) for high, count in lacking.items()}
        made = made_gold(one.run, one.candidates, asked, shares[True], shares[False], options.seed)
        gold += made
        for high in lacking:
            lacking[high] -= sum(one.is_high == high for one in made)
    if not gold:
        raise StudyError(
            "no gold questions can be made: that takes embeddings of segments of at least three photos; give some with "
            "--gold-file, or take --gold 0"
        )
    return gold


def _settings(
    options: CreateOptions, frames: Sequence[Frame], rated: Sequence[Candidate], gold: Sequence[GoldQuestion]
) -> StudySettings:
    frame = (candidate for one in frames for candidate in one.candidates)
    return StudySettings(
        title=options.title,
        version=__version__,
        seed=options.seed,
        labels=options.labels,
        questions=options.questions,
        rated=len(rated),
        per_task=options.sizes.per_task,
        raters=options.raters,
        gold=options.sizes.gold,
        repeat=options.sizes.repeat,
        per_image=options.per_image,
        sizes=(MEDIUM, LARGE),
        sources=tuple(one.source for one in frames),
        strata=strata(frame, rated),
        gold_from=dict(sorted(Counter(one.origin for one in gold).items())),
        picture=dataclasses.asdict(options.style),
        rules=options.rules,
        reassigned_by=options.reassigned_by if options.labels == "reassigned" else "",
        gold_rules=GOLD_RULES,
    )


def _questions(batches: Sequence[Sequence[Place]], frames: Iterable[Frame], options: CreateOptions) -> list[Question]:
    places = [place for batch in batches for place in batch]
    shapes = _shapes(frames, {place.candidate.key for place in places})
    digits = max(SHORTEST_ID, len(str(len(places))))
    questions: list[Question] = []
    for batch, here in enumerate(batches, start=1):
        ids = [f"q{len(questions) + position:0{digits}}" for position in range(1, len(here) + 1)]
        for position, place in enumerate(here, start=1):
            one = place.candidate
            questions.append(
                Question(
                    id=ids[position - 1],
                    batch=batch,
                    position=position,
                    kind=place.kind,
                    label=one.label,
                    picture=picture_name(one, options.seed),
                    method=one.method,
                    image=one.image,
                    segment=one.segment,
                    area=round(one.area, 6),
                    size=one.size,
                    label_kind=label_kind(one.label),
                    **shapes[one.key],
                    expected=place.expected,
                    repeat_of=None if place.of is None else ids[place.of],
                    class_index=one.class_index,
                )
            )
    return questions


def picture_name(candidate: Candidate, seed: int) -> str:
    """A file name that tells nothing, one for each segment."""
    text = "\0".join(map(str, ("picture", seed, *candidate.key)))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=10).hexdigest() + ".jpg"


def _shapes(frames: Iterable[Frame], wanted: set[tuple[str, str, int]]) -> dict[tuple[str, str, int], dict]:
    """Photo and mask of these segments, read from the runs again: of all segments they would not fit into memory."""
    shapes = {}
    for frame in frames:
        method = frame.run.method
        names = {image for of, image, _ in wanted if of == method}
        for image in frame.run.images(names):
            for candidate in image.candidates:
                if candidate.key in wanted:
                    mask = image.masks[candidate.segment]
                    height, width = mask["size"]
                    counts = mask["counts"]
                    text = counts.decode("ascii") if isinstance(counts, bytes) else counts
                    file = os.path.abspath(image.photo)
                    shapes[candidate.key] = {"file": file, "height": height, "width": width, "counts": text}
    if gone := wanted - shapes.keys():
        raise StudyError(f"{len(gone)} segments are gone from the runs since they were first read; start again")
    return shapes


def _written(root: Path, settings: StudySettings, questions: Sequence[Question]) -> Study:
    """Write the manifest, or find that it is there. StudyError for another study, which may have answers."""
    if (root / SETTINGS_FILE).exists():
        if (root / SETTINGS_FILE).read_bytes() != settings_json(settings):
            raise StudyError(f"{root} holds another study, or one of other settings; choose another folder with --out")
        study = load_study(root)
        if list(study.questions) != list(questions):
            raise StudyError(f"{root / QUESTIONS_FILE} is not what the runs give now; choose another --out")
        return study
    return write_study(root, settings, questions)


def _notes(options: CreateOptions, frames: Iterable[Frame], rated: int, gold: Sequence[GoldQuestion]) -> Iterable[str]:
    for one in frames:
        for reason, count in one.source.left_out.items():
            yield f"{one.run.method}: {count} {reason} were left out"
    if options.questions is not None and rated < options.questions:
        limit = f", at most {options.per_image} an image" if options.per_image else ""
        yield f"{options.questions} questions were asked for and the runs have {rated} segments{limit}; all are in"
    origins = Counter(one.origin for one in gold)
    if origins["far"]:
        yield (
            f"{origins['far']} gold questions have a label of another photo and expect 0 or 1; nobody has checked "
            f"them: look at {GOLD_FILE}, and give the rows that are right back with --gold-file"
        )
    for high, score in ((True, "3"), (False, "0")):
        if gold and not any(one.is_high == high for one in gold):
            always = "0" if high else "3"
            yield f"no gold question expects {score}: raters who always say {always} pass; add some with --gold-file"
