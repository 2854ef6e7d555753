"""One build of a vocabulary: read, group, match, write vocabulary.yaml and the page."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ls_backend.exports.table import cell
from ls_backend.files import OutputError, atomic_write, make_folder
from ls_backend.vocab_inputs import LISTS as LIST_FILES
from ls_backend.vocab_inputs import Texts, read_list, read_texts
from zgcore.errors import ConfigError, ImageError
from zgcore.vocabulary import Decisions, Vocabulary
from zgcore.vocabulary.build import BuildConfig, Builder
from zgcore.vocabulary.diff import Difference, difference
from zgcore.vocabulary.lexicon import Lexicon
from zgcore.vocabulary.match import LISTS, Match, Matcher, label_list, unmatched
from zgcore.vocabulary.page import PageContents, segment_picture, write_page
from zgcore.vocabulary.uses import Looks
from zgcore.vocabulary.yaml_file import edited_below, read_built, read_decisions_text, vocabulary_text
from zgcore.wordnet import WordNet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ls_backend.vocab_inputs import Sample
    from zgcore.vocabulary.embedding import TextVectors

FILE: Final = "vocabulary.yaml"
MOST_PICTURES: Final = 3000  # some 20 MB of page


@dataclass(frozen=True)
class BuildOptions:
    """The options of `zeroguide vocab build`, by their names there."""

    source: Path
    out: Path
    texts: str
    preset: str
    weights: Path | None
    device: str
    wordnet: Path | None
    photos: Path | None
    sources: str
    label_list: str | None
    threshold: float
    discard_edits: bool
    as_json: bool


@dataclass
class Built:
    """What a build made. before: the version it takes the place of, None for a first build."""

    vocabulary: Vocabulary
    texts: Texts
    file: Path
    page: Path
    before: str | None = None
    difference: Difference | None = None
    matches: list[Match] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)


def build(options: BuildOptions, tick: Callable[[], None], say: Callable[[str], None]) -> Built:
    """Build, and write the files. tick: called once an image. say: tells the step that begins.

    Raises ConfigError where the input or the earlier file cannot be used, OutputError where `out` cannot be written,
    WeightsError where the text encoder or WordNet is missing.
    """
    make_folder(options.out)
    file = options.out / FILE
    old, decisions, decisions_text = _earlier(file, options.discard_edits)
    names = None if options.label_list is None else read_label_list(options.label_list)
    texts = read_texts(options.source, options.photos, options.sources, tick)
    say("loading the text encoder and WordNet")
    vectors, lexicon = text_encoder(options), Lexicon(WordNet.find(options.wordnet), _mini_words())
    say("grouping")
    builder = Builder(lexicon, vectors, BuildConfig(threshold=options.threshold))
    uses = texts.uses()
    vocabulary = builder.build(uses, decisions, {"input": options.source.name})
    built = Built(vocabulary, texts, file, options.out / "index.html")
    if names is not None:
        matcher = Matcher(names, lexicon, vectors)
        built.matches = matcher.match(vocabulary.labels, Looks(uses))
        built.unmatched = unmatched(names, built.matches)
        _write(options.out / "matches.csv", _matches_csv(built.matches))
    if old is not None:
        built.before, built.difference = old.version, difference(old, vocabulary)
        if built.difference:
            _write(options.out / f"vocabulary-{old.version}.yaml", vocabulary_text(old))
    _write(file, vocabulary_text(vocabulary, decisions_text))
    say("drawing")
    contents = PageContents(options.source.name, pictures(texts), built.matches, built.unmatched)
    try:
        write_page(built.page, vocabulary, contents)
    except OSError as error:
        raise OutputError(f"cannot write {built.page}: {error.strerror or error}") from error
    return built


def text_encoder(options: BuildOptions) -> TextVectors | None:
    """What --texts asks for."""
    from zgcore.vocabulary.embedding import preset_texts, sentence_texts

    if options.texts == "none":
        return None
    return sentence_texts() if options.texts == "minilm" else preset_texts(
        options.preset, options.weights, options.device
    )  # fmt: skip


def read_label_list(name: str) -> list[str]:
    """A list by its name, or of a file with one label a line or a column of them. ConfigError where it is neither."""
    if name in LISTS:
        return label_list(name)
    path = Path(name)
    if path.suffix.lower() not in LIST_FILES:
        raise ConfigError(f"--list is one of {', '.join(LISTS)}, or a .txt, .csv or .tsv file, not {name}")
    return list(read_list(path))


def pictures(texts: Texts) -> dict[str, list[bytes]]:
    """JPEGs of some segments of each text, each photo read once; the most frequent texts first where there are many."""
    from zgcore.images import load_image

    by_photo: dict[Path | None, list[tuple[str, Sample]]] = defaultdict(list)
    left = MOST_PICTURES
    for text, _ in texts.counts.most_common():
        for sample in texts.samples.get(text, [])[:left]:
            by_photo[sample.photo].append((text, sample))
            left -= 1
    found: dict[str, list[bytes]] = defaultdict(list)
    for path, samples in by_photo.items():
        try:
            photo = None if path is None else load_image(path)
        except ImageError:
            photo = None  # gone, or changed: the masks alone are shown
        for text, sample in samples:
            found[text].append(segment_picture(sample.rle.mask(), photo))
    return found


def _earlier(file: Path, discard_edits: bool) -> tuple[Vocabulary | None, Decisions, str | None]:
    """The vocabulary as an earlier build left it, and the decisions of now, also as people wrote them."""
    if not file.exists():
        return None, Decisions(), None
    if not discard_edits and edited_below(file):
        raise ConfigError(
            f"somebody edited the labels of {file} below its decisions, and building again would undo that; "
            "put the wishes into decisions, or build with --discard-edits"
        )
    return *read_built(file), read_decisions_text(file)


def _mini_words() -> list[str]:
    from zgcore.mini.load import words

    return words()


def _matches_csv(matches: Iterable[Match]) -> str:
    out = io.StringIO()
    writer, guarded = csv.writer(out, lineterminator="\n"), Counter[str]()
    writer.writerow(["label", "count", "target", "how", "score", "nearest"])
    for match in matches:
        row = (match.label, match.count, match.target, match.how, round(match.score, 3), match.nearest)
        writer.writerow([cell(value, guarded) for value in row])
    return out.getvalue()


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as handle:
        handle.write(text.encode())
