"""Stages that remember: the same results bit for bit, and nothing computed that is known."""

import os

import numpy as np
import pytest
import torch

from zgcore import ZeroGuidance, load_image
from zgcore.evaluation.cache import DiskCache, NoCache, digest
from zgcore.evaluation.remembering import CANDIDATES, EMBEDDINGS, MERGE_TREE, TEXTS, RememberedStages, StageKeys
from zgcore.samples import sample_paths

CAT = load_image(next(path for path in sample_paths() if path.stem == "cat"))[::4, ::4].copy()
CONTENT = "ab" * 32
SMALL = {
    "dino__size": 64,
    "crf__refine_size": 0,
    "zerocap__candidates": 16,
    "zerocap__iterations": 1,
    "merge__threshold": 0.95,
}


class Counting:
    """A cache in memory that counts what was asked and not known, by stage."""

    def __init__(self, known=None):
        self.known = dict(known or {})
        self.missed = []

    def get(self, stage, image, key):
        found = self.known.get((stage, image, key))
        if found is None:
            self.missed.append(stage)
        return found

    def put(self, stage, image, key, arrays):
        self.known[stage, image, key] = arrays


def build(**settings):
    return ZeroGuidance.from_preset("untrained", device="cpu", **{**SMALL, **settings})


def segment(cache, **settings):
    model = build(**settings)
    stages = RememberedStages(model, cache)
    (found,) = model.merge_segments([stages.work(CAT, CONTENT)], stages.describer(CONTENT))
    return found


def same_bits(one, other):
    return (
        np.array_equal(one.index_map, other.index_map)
        and (one.labels, one.nodes) == (other.labels, other.nodes)
        and one.embeddings.tobytes() == other.embeddings.tobytes()
        and one.scores.tobytes() == other.scores.tobytes()
        and one.tree.leaves == other.tree.leaves
    )


@pytest.fixture(scope="module")
def alone():
    """What an empty memory gives."""
    return segment(NoCache())


@pytest.fixture(scope="module")
def folder(tmp_path_factory, alone):
    """A cache on disk after one run."""
    folder = tmp_path_factory.mktemp("cache")
    assert same_bits(segment(DiskCache(folder)), alone)
    return folder


def test_a_cache_changes_no_bit(folder, alone):
    assert len(alone) < len(alone.tree.leaves)  # something merged, so that one-by-one segments are in it
    assert same_bits(segment(DiskCache(folder)), alone)


def test_it_is_what_the_pipeline_gives(alone):
    plain = build()(CAT)
    assert np.array_equal(plain.index_map, alone.index_map)
    assert plain.labels == alone.labels
    np.testing.assert_allclose(plain.embeddings, alone.embeddings, atol=1e-5)


def test_everything_known_is_read(folder):
    class Reading(DiskCache):
        def put(self, stage, image, key, arrays):
            raise AssertionError(f"{stage} was computed again")

    segment(Reading(folder))


def test_damaged_files_are_computed_again(folder, alone, tmp_path):
    files = sorted(folder.rglob("*.npz"))
    assert len(files) >= 4
    for number, file in enumerate(files):
        data = file.read_bytes()
        whole = tmp_path / file.relative_to(folder)
        whole.parent.mkdir(parents=True, exist_ok=True)
        whole.write_bytes([data[: len(data) // 2], b"", data.replace(b"PK", b"XX"), data[:-30]][number % 4])
    cache = DiskCache(tmp_path)
    assert same_bits(segment(cache), alone)
    assert same_bits(segment(cache), alone)  # and written anew
    for file in files:
        with np.load(tmp_path / file.relative_to(folder), allow_pickle=False) as arrays:
            assert arrays.files


def test_files_of_other_shapes_are_computed_again(folder, alone, tmp_path):
    """A file that is whole and holds something else, as after a mistake of ours."""
    for file in folder.rglob("*.npz"):
        other = tmp_path / file.relative_to(folder)
        other.parent.mkdir(parents=True, exist_ok=True)
        np.savez(other, leaves=np.array(["0"]), leaf_map=np.zeros((2, 2), np.int32), embeddings=np.zeros((1, 3)))
    assert same_bits(segment(DiskCache(tmp_path)), alone)


def test_pickles_are_never_read(tmp_path):
    cache = DiskCache(tmp_path)
    cache.put("stage", CONTENT, digest(1), {"good": np.arange(3)})
    (file,) = tmp_path.rglob("*.npz")
    np.savez(file, bad=np.array([{"a": 1}], dtype=object))
    assert cache.get("stage", CONTENT, digest(1)) is None


def test_a_sweep_of_tau_describes_only_what_is_newly_proposed(alone):
    """Thresholds 2 (nothing merges), then the preset's: leaves are known, what merges is described, nothing else."""
    cache = Counting()
    unmerged = segment(cache, merge__threshold=2.0)
    assert len(unmerged) == len(unmerged.tree.leaves)
    cache.missed.clear()
    assert same_bits(segment(cache), alone)
    described = len(cache.missed) // 2
    assert sorted(cache.missed) == [EMBEDDINGS] * described + [TEXTS] * described
    inner = {node for node in alone.nodes if node not in alone.tree.leaves}
    assert described >= len(inner) > 0
    cache.missed.clear()
    segment(cache, merge__threshold=2.0)
    segment(cache)
    assert cache.missed == []


@pytest.mark.parametrize(("settings", "missed"), [
    ({"clip__sigma2": 1.0}, {EMBEDDINGS, TEXTS}),
    ({"clip__encoder": "crop"}, {EMBEDDINGS, TEXTS}),
    ({"zerocap__temperature": 0.02}, {TEXTS}),
    ({"tree__similarity": 0.5}, {CANDIDATES, EMBEDDINGS, TEXTS}),
    ({"crf__iterations": 3}, {CANDIDATES, EMBEDDINGS, TEXTS}),
    ({"dino__stride": 8}, {MERGE_TREE, CANDIDATES, EMBEDDINGS, TEXTS}),
    ({"merge__max_segments": 100, "clip__match_threshold": 0.1}, set()),
])  # fmt: skip
def test_a_setting_recomputes_the_stages_that_depend_on_it(settings, missed):
    cache = Counting()
    segment(cache, merge__threshold=2.0)
    cache.missed.clear()
    segment(cache, merge__threshold=2.0, **settings)
    assert set(cache.missed) == missed


def test_other_weights_and_other_images_are_other_results():
    model = build()
    one, other = StageKeys.of(model, "aaaa"), StageKeys.of(model, "bbbb")
    assert all(getattr(one, stage) != getattr(other, stage) for stage in vars(one))
    cache = Counting()
    stages = RememberedStages(model, cache)
    stages.work(CAT, CONTENT)
    cache.missed.clear()
    stages.work(CAT[:, ::-1].copy(), "cd" * 32)
    assert cache.missed == [CANDIDATES, MERGE_TREE]


def test_settings_that_do_not_act_are_not_asked():
    """Without subtraction there is no sigma; crop-and-mask has neither."""
    assert (
        StageKeys.of(build(clip__global_subtraction=False), "").encoder
        == StageKeys.of(build(clip__global_subtraction=False, clip__sigma2=1.0, clip__saliency="weights"), "").encoder
    )
    assert (
        StageKeys.of(build(clip__encoder="crop"), "").encoder
        == StageKeys.of(build(clip__encoder="crop", clip__masked_blocks=2), "").encoder
    )


def test_files_used_longest_ago_go_first(tmp_path):
    cache = DiskCache(tmp_path)
    for number in range(3):
        cache.put("stage", CONTENT, str(number), {"numbers": np.arange(100)})
    paths = [next(tmp_path.rglob(f"*-{number}.npz")) for number in range(3)]
    size = paths[0].stat().st_size
    for day, path in enumerate(paths):
        os.utime(path, (86400 * day, 86400 * day))
    assert cache.get("stage", CONTENT, "0") is not None  # used now
    cache.limit = 3 * size
    cache.shrink()
    assert [path.exists() for path in paths] == [True, True, True]
    cache.limit = 3 * size - 1  # down to 0.9 of it: one file goes
    cache.shrink()
    assert [path.exists() for path in paths] == [True, False, True]


def test_a_disk_that_refuses_stops_nothing(tmp_path):
    (tmp_path / "stage").write_text("a file where a folder should be")
    cache = DiskCache(tmp_path)
    cache.put("stage", CONTENT, "1", {"a": np.arange(2)})
    assert cache.get("stage", CONTENT, "1") is None


def test_seeds_and_threads_leave_the_generator_as_the_pipeline_does(alone):
    """Describing seeds torch as `segment_many` does, whatever was drawn before."""
    torch.manual_seed(99)
    assert same_bits(segment(NoCache()), alone)
