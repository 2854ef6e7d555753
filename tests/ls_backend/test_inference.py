"""Which version a server tells, and how labels are matched with a closed list."""

import json
import multiprocessing
import shutil
import threading

import numpy as np
import pytest

from ls_backend.inference import Inference, model_version
from tests.ls_backend.serving import settings_for
from tests.ls_backend.test_app import until
from zgcore import presets
from zgcore.build import load_models
from zgcore.presets import MINI_WEIGHTS, PRESETS, get_preset, save_preset, weights_fingerprint
from zgcore.vocabulary import Label, Member, Vocabulary
from zgcore.vocabulary.yaml_file import vocabulary_text


def test_shipped_weights_that_change_change_the_version(tmp_path, monkeypatch):
    settings = settings_for(tmp_path, "mini")
    before = model_version(settings)
    shutil.copy(MINI_WEIGHTS / "manifest.json", tmp_path)
    monkeypatch.setattr(presets, "MINI_WEIGHTS", tmp_path)
    assert model_version(settings) == before  # the same weights elsewhere
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["files"]["mini.safetensors"]["sha256"] = "0" * 64
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert model_version(settings) != before


def test_a_vocabulary_that_changes_changes_the_version(tmp_path):
    file = tmp_path / "vocabulary.yaml"
    plain, versions = model_version(settings_for(tmp_path, "mini")), []
    for couch in ("sofa", "seat"):
        made = Vocabulary((Label(couch, (Member(couch, 2), Member("couch", 1))),))
        file.write_text(vocabulary_text(made), encoding="utf-8")
        versions.append(model_version(settings_for(tmp_path, "mini", vocabulary=file)))
    assert len({plain, *versions}) == 3


def test_the_version_is_told_of_the_weights_that_would_be_loaded(tmp_path):
    config = get_preset("mini")
    assert load_models(config, "mini").fingerprint == weights_fingerprint("mini") != ""
    shutil.copytree(MINI_WEIGHTS, tmp_path, dirs_exist_ok=True)
    save_preset(config, tmp_path)
    (tmp_path / "manifest.json").unlink()
    models = load_models(get_preset(tmp_path), tmp_path)
    assert models.folder == tmp_path
    assert models.fingerprint == weights_fingerprint(tmp_path) == weights_fingerprint("mini", tmp_path)
    assert models.fingerprint != weights_fingerprint("mini")  # without a manifest it goes by names and sizes
    assert weights_fingerprint("paper") == weights_fingerprint("untrained", tmp_path) == ""


def test_a_folder_that_is_called_like_a_preset_is_not_taken_for_it(tmp_path, monkeypatch):
    (tmp_path / "mini").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_models(get_preset("mini"), "mini").folder is None


def test_the_threshold_is_the_presets_unless_it_is_set(tmp_path):
    assert {name: settings_for(tmp_path, name).least_match for name in PRESETS} == {
        "mini": 0.3,
        "base": 0.8,
        "paper": 0.8,
        "untrained": 0.8,
    }
    own = settings_for(tmp_path, "mini", match_threshold=0.5)
    assert own.least_match == 0.5
    save_preset(get_preset("mini").override(clip__match_threshold=0.4), tmp_path / "mine")
    assert settings_for(tmp_path, str(tmp_path / "mine")).least_match == 0.4
    as_the_preset = settings_for(tmp_path, "mini", match_threshold=0.3)
    assert model_version(as_the_preset) == model_version(settings_for(tmp_path, "mini")) != model_version(own)


def test_segmentations_do_not_depend_on_the_threshold():
    config = get_preset("mini")
    assert config.override(clip__match_threshold=0.9).digest() == config.digest()
    assert config.override(clip__sigma2=1.0).digest() != config.digest()


class Texts:
    def __init__(self, *labels):
        self.labels = labels


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    inference = Inference(settings_for(tmp_path_factory.mktemp("data"), "mini"))
    yield inference
    inference.close()


def test_labels_go_to_the_nearest_of_a_closed_list(mini):
    choices = ["animal", "vehicle", "sky", "furniture"]
    found = mini.match(choices, Texts("puppy", "Truck ", "cloudy sky", "sofa", "keyboard", "pizza"))
    assert found == ["animal", "vehicle", "sky", "furniture", None, None]


def test_matching_gives_up_at_a_deadline(mini):
    go = threading.Event()
    mini.submit(go.wait, 30)
    with pytest.raises(TimeoutError):
        mini.match(["sky"], Texts("sky"), timeout=0.05)
    go.set()
    assert mini.match(["sky"], Texts("sky"), timeout=30) == ["sky"]


def test_masks_are_refined_in_a_process_that_ends_with_the_server(tmp_path):
    before = set(multiprocessing.active_children())
    inference = Inference(settings_for(tmp_path))
    photo = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    result = inference.submit(inference.segment, photo).result()
    assert result.index_map.tolist() == inference.model()(photo).index_map.tolist()
    (worker,) = set(multiprocessing.active_children()) - before
    with pytest.raises(ValueError, match="uint8"):
        inference.submit(inference.segment, photo.astype(np.float32)).result()
    assert len(inference.submit(inference.segment, photo).result()) == len(result)  # one failure spoils nothing
    inference.close()
    until(lambda: worker.exitcode is not None)  # not join: the pool waits for the same process
    assert worker.exitcode == 0
