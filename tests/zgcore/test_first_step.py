"""The first step's table on disk: what is read back, what is not trusted, and that texts never depend on it."""

import multiprocessing
import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests import golden
from zgcore.build import build_pipeline
from zgcore.clip_text import ClipText
from zgcore.config import ZeroCapConfig
from zgcore.deterministic import deterministic_
from zgcore.first_step import FirstStep, Rows, cache_folders, read_table, table_key, write_table
from zgcore.language import ContextModel
from zgcore.mini.load import WEIGHTS_FILE, WEIGHTS_FOLDER, WORDS_FILE
from zgcore.zerocap import Beam, ZeroCap

REFERENCE = golden.load("zerocap.npz")["embeddings"]
CONFIG = ZeroCapConfig(beams=3, max_tokens=2, candidates=64)
KEY = "k" * 64


def zerocap(*folders: Path, config: ZeroCapConfig = CONFIG, clip: ClipText | None = None) -> ZeroCap:
    clip = clip or golden.text_tower()
    return ZeroCap(golden.language_model(), golden.gpt2_tokenizer(), clip, config, first_step_folders=folders)


def describe(labeller: ZeroCap) -> tuple[list[list[Beam]], list[int]]:
    """The beams of the reference embeddings, and how many candidates the text tower read at each call."""
    counts: list[int] = []
    encode = labeller.clip_text.encode_continuations

    def counted(prefixes, owners, rests):
        counts.append(len(rests))
        return encode(prefixes, owners, rests)

    labeller.clip_text.encode_continuations = counted
    try:
        return labeller.describe(REFERENCE), counts
    finally:
        del labeller.clip_text.encode_continuations


def table_in(folder: Path) -> Path:
    (file,) = folder.glob(".first-step-*.table")
    return file


def rows(*ids: int, value: float = 0.5) -> Rows:
    return Rows(np.array(ids), torch.full((len(ids), 4), value) + torch.tensor(ids)[:, None])


def test_a_second_process_reads_what_the_first_wrote(tmp_path):
    without, all_of_them = describe(zerocap())
    first, computed = describe(zerocap(tmp_path))
    known = load_file(table_in(tmp_path))
    second, rest = describe(zerocap(tmp_path))
    assert without == first == second  # tokens, texts and scores, bit for bit
    assert computed == all_of_them
    assert sum(computed) - sum(rest) == len(known["ids"]) >= 64  # the first step, and nothing else
    assert known["features"].dtype == torch.float32
    assert torch.allclose(known["features"].norm(dim=1), torch.ones(len(known["ids"])), atol=1e-5)


def test_rows_are_the_plain_towers(tmp_path):
    describe(zerocap(tmp_path))
    table = load_file(table_in(tmp_path))
    texts = [f"Image of a{golden.gpt2_tokenizer().decode([token])}" for token in table["ids"][:50].tolist()]
    expected = torch.nn.functional.normalize(golden.text_tower().encode_plain(texts), dim=-1)
    assert torch.allclose(table["features"][:50], expected, atol=1e-5)


def test_the_prompts_features_outlast_a_full_cache():
    continuations = zerocap().continuations
    continuations.capacity = 100
    unit = torch.nn.functional.normalize(REFERENCE[:1], dim=-1)
    ids = torch.arange(1000, 1060)[None]
    before = continuations.cosines(["Image of a"], ids, unit)
    for word in ("cat", "dog", "tree"):
        continuations.cosines([f"Image of a {word}"], ids, unit)
    assert continuations.count("Image of a") == 60
    assert continuations.count("Image of a cat") == 0
    assert torch.equal(continuations.cosines(["Image of a"], ids, unit), before)


def damaged(file: Path, how: str) -> None:
    """Spoil a table in one way."""
    content = bytearray(file.read_bytes())
    if how == "cut short":
        file.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        file.write_bytes(b"")
    elif how == "another format":
        file.write_bytes(b"\x80\x04not a table.")
    elif how == "one bit":  # of a feature: every value is still finite
        content[-1000] ^= 1
        file.write_bytes(content)
    elif how == "a folder":
        file.unlink()
        file.mkdir()


@pytest.mark.parametrize("how", ["cut short", "empty", "another format", "one bit", "a folder"])
def test_a_damaged_table_is_not_used(tmp_path, how):
    before, computed = describe(zerocap(tmp_path))
    file = table_in(tmp_path)
    good = file.read_bytes()
    damaged(file, how)
    after, again = describe(zerocap(tmp_path))
    assert after == before
    assert again == computed
    if how != "a folder":
        assert file.read_bytes() == good  # it was written anew


def test_what_a_table_must_be(tmp_path):
    file = tmp_path / "table"
    assert read_table(file, KEY, 10, 4) is None  # not there
    assert write_table(file, KEY, rows(2, 5, 9))
    found = read_table(file, KEY, 10, 4)
    assert found is not None
    assert found.ids.tolist() == [2, 5, 9]
    assert torch.equal(found.features, rows(2, 5, 9).features)
    assert read_table(file, "l" * 64, 10, 4) is None  # another key
    assert read_table(file, KEY, 9, 4) is None  # another vocabulary
    assert read_table(file, KEY, 10, 5) is None  # another width


@pytest.mark.parametrize(
    "bad",
    [rows(5, 2), rows(2, 2), rows(-1, 2), rows(), rows(1, 2, value=float("nan")), rows(1, 2, value=float("inf"))],
    ids=["out of order", "twice", "negative", "none", "nan", "inf"],
)
def test_values_that_no_table_has(tmp_path, bad):
    write_table(tmp_path / "table", KEY, bad)
    assert read_table(tmp_path / "table", KEY, 10, 4) is None


def test_number_formats_that_no_table_has(tmp_path):
    for tensors in (
        {"ids": torch.tensor([1]), "features": torch.ones(1, 4).half()},
        {"ids": torch.tensor([1.0]), "features": torch.ones(1, 4)},
        {"ids": torch.tensor([[1]]), "features": torch.ones(1, 4)},
        {"ids": torch.tensor([1]), "features": torch.ones(1, 3)},
        {"ids": torch.tensor([1])},
    ):
        save_file({**tensors, "sha256": rows(1).digest(KEY)}, tmp_path / "table")
        assert read_table(tmp_path / "table", KEY, 10, 4) is None


def other_tower() -> ClipText:
    """The reference tower with one weight changed in its last digits."""
    clip = golden.text_tower()
    model = type(clip.tower).__new__(type(clip.tower))
    model.__dict__.update(clip.tower.__dict__)
    model._parameters = dict(clip.tower._parameters)
    projection = clip.tower.text_projection.clone()
    projection[0, 0] += 1e-6
    model.text_projection = torch.nn.Parameter(projection, requires_grad=False)
    return ClipText(model, clip.tokenizer)


def test_the_key_tells_apart_all_that_features_come_from():
    clip, lm = golden.text_tower(), ContextModel(golden.language_model(), golden.gpt2_tokenizer())
    key = table_key(clip, lm, "Image of a")
    assert len(key) == 64
    assert key == table_key(ClipText(clip.tower, clip.tokenizer), lm, "Image of a")
    assert key != table_key(clip, lm, "Image of the")
    assert key != table_key(other_tower(), lm, "Image of a")


def test_another_prompt_and_other_weights_have_tables_of_their_own(tmp_path):
    describe(zerocap(tmp_path))
    _, computed = describe(zerocap(tmp_path, config=replace(CONFIG, prompt="Image of the")))
    _, alone = describe(zerocap(config=replace(CONFIG, prompt="Image of the")))
    assert computed == alone
    describe(zerocap(tmp_path, clip=other_tower()))
    assert len(list(tmp_path.glob(".first-step-*.table"))) == 3
    assert not list(tmp_path.glob("*.partial"))


def test_the_first_folder_that_can_be_written_gets_it(tmp_path):
    blocked = tmp_path / "a file, no folder"
    blocked.write_text("")
    labeller = zerocap(blocked, tmp_path / "cache" / "deep")
    before, _ = describe(labeller)
    assert table_in(tmp_path / "cache" / "deep").is_file()
    assert before == describe(zerocap(blocked, tmp_path / "cache" / "deep"))[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_must_not_be_written(tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert describe(zerocap(folder))[0] == describe(zerocap())[0]
    assert list(folder.iterdir()) == []


def test_a_disk_that_cannot_be_written_costs_only_time():
    """/proc takes no files, not even from root."""
    assert describe(zerocap(Path("/proc")))[0] == describe(zerocap())[0]
    assert not write_table(Path("/proc/table"), KEY, rows(1))


def test_a_full_disk_leaves_nothing_behind(tmp_path):
    file = tmp_path / "table"
    assert write_table(file, KEY, rows(1))
    before = file.read_bytes()
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # bytes a file may have: a write fails half-way
    try:
        assert not write_table(file, KEY, rows(*range(1000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_tables_grow_by_what_others_wrote(tmp_path):
    labeller = zerocap(tmp_path)
    describe(labeller)
    file = table_in(tmp_path)
    key = labeller.first_step._key
    mine = read_table(file, key, 50257, 64)
    assert mine is not None
    write_table(file, key, Rows(np.array([50256]), torch.nn.functional.normalize(torch.ones(1, 64), dim=-1)))
    stranger = FirstStep(labeller.continuations, labeller.lm, labeller.first_step.prompt, [tmp_path])
    stranger._key = key  # began before the other wrote
    stranger.save()
    both = read_table(file, key, 50257, 64)
    assert both is not None
    assert set(both.ids.tolist()) == {*mine.ids.tolist(), 50256}
    size = file.stat().st_mtime_ns
    stranger.save()  # nothing new
    assert file.stat().st_mtime_ns == size


def test_joined_rows_by_hand():
    joined = rows(2, 5).joined(rows(1, 5, 7, value=9.0))
    assert joined.ids.tolist() == [1, 2, 5, 7]
    assert joined.features[:, 0].tolist() == [10.0, 2.5, 5.5, 16.0]  # what is known is kept


def write_many(file: Path, value: int) -> None:
    for _ in range(50):
        write_table(file, KEY, Rows(np.arange(500), torch.full((500, 64), float(value))))


def test_writers_at_once_leave_a_whole_table(tmp_path):
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_many, args=(tmp_path / "table", value)) for value in (1, 2)]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        if (tmp_path / "table").exists():
            found = read_table(tmp_path / "table", KEY, 500, 64)
            assert found is not None
            seen.add(float(found.features[0, 0]))
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert seen <= {1.0, 2.0}
    assert list(tmp_path.iterdir()) == [tmp_path / "table"]


def test_the_mini_presets_own_folder_stays_as_it_was_shipped(tmp_path):
    assert WEIGHTS_FOLDER not in cache_folders(None)
    assert cache_folders(tmp_path)[0] == tmp_path
    for name in (WEIGHTS_FILE, WORDS_FILE):
        (tmp_path / name).symlink_to(WEIGHTS_FOLDER / name)
    model = build_pipeline("mini", device="cpu", weights=tmp_path, settings={})
    assert model.labeller.first_step.folders[0] == tmp_path
    random = build_pipeline("untrained", device="cpu", settings={})
    assert random.labeller.first_step.folders == []


def test_untrained_weights_are_told_apart_by_their_activation():
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    vision = CLIPVisionCfg(layers=1, width=64, head_width=64, patch_size=16, image_size=32)
    lm = ContextModel(golden.language_model(), golden.gpt2_tokenizer())
    keys = set()
    for quick in (True, False):
        model = deterministic_(CLIP(64, vision, CLIPTextCfg(width=64, heads=2, layers=1), quick_gelu=quick))
        keys.add(table_key(ClipText(model.eval(), golden.text_tower().tokenizer), lm, "Image of a"))
    assert len(keys) == 2
