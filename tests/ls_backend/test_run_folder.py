"""Names, whole files, and which results are kept."""

import os
import stat
from pathlib import Path

import numpy as np
import pytest

from ls_backend.files import OutputError, atomic_write
from ls_backend.record import RunStamp, from_segmentation
from ls_backend.run_folder import RunFolder, Source, common_folder, fingerprint, is_unchanged, name_sources
from tests.ls_backend.bands import BandSegmenter

STAMP = RunStamp("mini", "abc", "v1", False)


def names(*paths):
    return [source.name for source in name_sources([Path(path) for path in paths])]


def test_a_unique_stem_is_the_name():
    assert names("/p/cat.jpg", "/p/dog.tar.png") == ["cat", "dog.tar"]


def test_equal_stems_get_names_of_their_own_that_stay():
    first = names("/a/cat.jpg", "/a/cat.png", "/b/cat.jpg", "/b/dog.jpg")
    assert len(set(first)) == 4
    assert first[3] == "dog"
    assert all(name.startswith("cat-") and len(name) == 12 for name in first[:3])
    assert names("/b/cat.jpg", "/a/cat.jpg", "/a/cat.png") == [first[2], first[0], first[1]]


def test_stems_that_differ_in_case_only_are_told_apart():
    made = names("/a/Cat.jpg", "/b/cat.jpg")
    assert len({name.casefold() for name in made}) == 2


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/p/Straße 7.jpg", "Straße 7"),
        ("/p/a:b*c?.jpg", "a_b_c_"),
        ("/p/...jpg", "image"),
        ("/p/new\nline.jpg", "new_line"),
        (os.fsdecode(b"/p/\xff\xfe.jpg"), "_"),
        ("/p/" + "ä" * 80 + ".jpg", "ä" * 50),
    ],
)
def test_names_are_file_names_everywhere(path, name):
    assert names(path) == [name]


def test_common_folder():
    assert common_folder([Path("/a/b/x.jpg"), Path("/a/c/y.jpg")]) == Path("/a")
    assert common_folder([Path("/a/b/x.jpg")]) == Path("/a/b")


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")

    def interrupted():
        with atomic_write(path) as handle:
            handle.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.json"]
    with atomic_write(path) as handle:
        handle.write(b"new")
    assert path.read_text() == "new"


def test_files_of_killed_processes_are_swept_and_those_of_running_ones_kept(tmp_path):
    folder = RunFolder(tmp_path)
    dead, mine = folder.results / ".a.json.999999999.tmp", folder.results / f".b.json.{os.getpid()}.tmp"
    dead.touch()
    mine.touch()
    RunFolder(tmp_path)
    assert (dead.exists(), mine.exists()) == (False, True)


@pytest.mark.parametrize("out", ["a-file", "a-file/below", "/proc/zeroguide"])
def test_a_folder_that_cannot_be_made_names_the_cure(tmp_path, out):
    (tmp_path / "a-file").touch()
    with pytest.raises(OutputError, match="choose another with --out"):
        RunFolder(tmp_path / out)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_names_the_cure(tmp_path):
    tmp_path.chmod(0o555)
    with pytest.raises(OutputError, match="--out"):
        RunFolder(tmp_path / "out")


@pytest.fixture
def kept(tmp_path):
    """A folder with one result, and the source it was made from."""
    photo = tmp_path / "a.jpg"
    photo.write_bytes(b"not really a photo")
    folder = RunFolder(tmp_path / "out")
    result = BandSegmenter().segment_many([np.arange(48, dtype=np.uint8).reshape(4, 4, 3) * 5])[0]
    record = from_segmentation("a", fingerprint(photo), STAMP, result)
    folder.save(record, result.embeddings)
    return folder, Source(1, photo, "a"), record, result


def test_what_was_saved_is_kept(kept):
    folder, source, record, result = kept
    assert folder.done(source, STAMP) == record
    assert np.array_equal(folder.load_embeddings("a"), result.embeddings)


def test_a_touched_photo_is_unchanged_and_another_content_is_not(kept):
    folder, source, record, _ = kept
    os.utime(source.path, ns=(1, 1))
    assert is_unchanged(record.source, source.path)
    source.path.write_bytes(b"not really a phot0")
    assert folder.done(source, STAMP) is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder, source: source.path.unlink(),
        lambda folder, source: folder.record_path("a").unlink(),
        lambda folder, source: folder.record_path("a").write_bytes(folder.record_path("a").read_bytes()[:-9]),
        lambda folder, source: folder.embeddings_path("a").unlink(),
        lambda folder, source: folder.embeddings_path("a").write_bytes(folder.embeddings_path("a").read_bytes()[:-9]),
        lambda folder, source: folder.embeddings_path("a").write_bytes(b""),
    ],
)
def test_what_is_not_whole_is_made_again(kept, spoil):
    folder, source, *_ = kept
    spoil(folder, source)
    assert folder.done(source, STAMP) is None


@pytest.mark.parametrize(
    "stamp",
    [
        RunStamp("mini", "other", "v1", False),
        RunStamp("mini", "abc", "v2", False),
        RunStamp("base", "abc", "v1", False),
    ],
)
def test_other_settings_are_made_again(kept, stamp):
    folder, source, *_ = kept
    assert folder.done(source, stamp) is None


def test_a_photo_of_another_folder_is_not_taken_for_the_same(kept, tmp_path):
    folder, source, *_ = kept
    other = tmp_path / "b" / "a.jpg"
    other.parent.mkdir()
    other.write_bytes(source.path.read_bytes())
    assert folder.done(Source(1, other, "a"), STAMP) is None


def test_others_counts_what_is_not_of_this_run(kept):
    folder, source, *_ = kept
    assert folder.others([source]) == 0
    assert folder.others([]) == 1


def test_a_name_is_synced_too(tmp_path, monkeypatch):
    """The folder, once it holds the new name: else a power cut takes the file away."""
    synced, real = [], os.fsync

    def fsync(handle):
        status = os.fstat(handle)
        synced.append((stat.S_ISDIR(status.st_mode), status.st_ino, sorted(os.listdir(tmp_path))))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_write(tmp_path / "a.json") as handle:
        handle.write(b"{}")
    assert synced[-1] == (True, tmp_path.stat().st_ino, ["a.json"])
