"""Presets by name and by folder: round trips, and every way a preset.json can be wrong."""

import json

import pytest

from zgcore.config import CrfConfig, PipelineConfig
from zgcore.errors import ConfigError
from zgcore.presets import PRESETS, get_preset, load_preset, save_preset


def test_paper_is_the_papers_values():
    paper = get_preset("paper")
    assert (paper.dino.model, paper.dino.stride) == ("vit_small_patch8_224.dino", 2)
    assert (paper.clip.model, paper.clip.pretrained) == ("ViT-L-14-336-quickgelu", "openai")
    assert (paper.zerocap.model, paper.zerocap.beams) == ("openai-community/gpt2-medium", 5)


def test_base_is_the_same_method_on_smaller_models():
    changed = {"preset": "base", "dino__stride": 4, "clip__model": "ViT-B-16-quickgelu"}
    changed |= {"crf__size": 112, "crf__refine_size": 224}
    assert get_preset("base") == get_preset("paper").override(**changed, zerocap__model="distilbert/distilgpt2")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_carries_its_own_name(name):
    assert PRESETS[name].preset == name


@pytest.mark.parametrize("name", PRESETS)
def test_saved_and_loaded_settings_are_equal(name, tmp_path):
    file = save_preset(PRESETS[name], tmp_path / "new" / "folder")
    assert file == tmp_path / "new" / "folder" / "preset.json"
    assert load_preset(file.parent) == PRESETS[name]
    assert get_preset(str(file.parent)) == PRESETS[name]
    assert [path.name for path in file.parent.iterdir()] == ["preset.json"]  # no half-written file stays


def test_changed_settings_survive(tmp_path):
    config = PipelineConfig(preset="mine", seed=7, crf=CrfConfig(size=448, iterations=3, bilateral_srgb=6.5))
    save_preset(config, tmp_path)
    assert load_preset(tmp_path) == config


def test_what_a_file_leaves_out_has_its_default(tmp_path):
    (tmp_path / "preset.json").write_text('{"preset": "mine", "merge": {"threshold": 1}}')
    config = load_preset(tmp_path)
    assert config == PipelineConfig(preset="mine").override(merge__threshold=1.0)
    assert isinstance(config.merge.threshold, float)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"crf": {"iteratons": 3}}, "there is no setting crf.iteratons; did you mean 'iterations'?"),
        ({"klip": {}}, "there is no setting klip; did you mean 'clip'?"),
        ({"seed": True}, "seed must be a whole number, not true or false"),
        ({"seed": 1.5}, "seed must be a whole number, not a number"),
        ({"dino": 4}, "dino must be an object, not a whole number"),
        ({"dino": {"stride": "4"}}, "dino.stride must be a whole number, not a text"),
        ({"clip": {"global_subtraction": 1}}, "clip.global_subtraction must be true or false, not a whole number"),
        ({"clip": {"saliency": "rows"}}, "clip.saliency must be one of 'output', 'weights', not 'rows'"),
        ({"clip": {"saliency": ["output"]}}, "clip.saliency must be one of 'output', 'weights', not ['output']"),
        ({"tree": {"leaves": 0}}, "tree.leaves must be 1..256, not 0"),
        ([], "the preset must be an object, not a list"),
        (None, "the preset must be an object, not null"),
    ],
)
def test_a_wrong_setting_is_named(content, message, tmp_path):
    (tmp_path / "preset.json").write_text(json.dumps(content))
    with pytest.raises(ConfigError) as caught:
        load_preset(tmp_path)
    assert str(caught.value) == f"{tmp_path / 'preset.json'}: {message}"


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_not_json(content, tmp_path):
    (tmp_path / "preset.json").write_bytes(content)
    with pytest.raises(ConfigError, match="is not JSON"):
        load_preset(tmp_path)


def test_a_folder_without_settings(tmp_path):
    with pytest.raises(ConfigError, match=r"is not a preset: it has no preset\.json"):
        get_preset(tmp_path)


def test_an_unknown_name_gets_the_closest():
    with pytest.raises(ConfigError, match="there is no preset 'papper'; did you mean 'paper'") as caught:
        get_preset("papper")
    assert caught.value.exit_code == 2
