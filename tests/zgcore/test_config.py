"""Settings: the paper's values, their bounds, and how they are replaced and told apart."""

import dataclasses

import pytest

from zgcore.config import ClipConfig, CrfConfig, DinoConfig, MergeConfig, PipelineConfig, TreeConfig, ZeroCapConfig
from zgcore.errors import ConfigError


def test_defaults_are_the_papers():
    """Section 3 of the paper and the settings of its published code, written out once more."""
    config = PipelineConfig()
    assert (config.dino.size, config.dino.stride) == (224, 2)
    assert (config.tree.leaves, config.tree.similarity, config.tree.min_area) == (20, 0.9, 0.0)
    assert (config.crf.size, config.crf.refine_size, config.crf.iterations) == (224, 0, 10)
    assert (config.crf.gaussian_sxy, config.crf.gaussian_compat) == (1, 25)
    assert (config.crf.bilateral_sxy, config.crf.bilateral_srgb, config.crf.bilateral_compat) == (5, 13, 100)
    assert (config.clip.masked_blocks, config.clip.sigma2, config.clip.saliency) == (4, 2.5, "output")
    zerocap = config.zerocap
    assert (zerocap.beams, zerocap.max_tokens, zerocap.iterations, zerocap.candidates) == (5, 15, 5, 512)
    assert (zerocap.step_size, zerocap.grad_norm_power, zerocap.temperature) == (0.3, 0.9, 0.01)
    assert (zerocap.clip_scale, zerocap.fluency_scale, zerocap.fusion) == (1, 0.2, 0.99)
    assert (zerocap.end_factor, zerocap.start_end_factor, zerocap.forbidden_factor) == (1.1, 1.6, 20)
    assert (zerocap.repetition_penalty, zerocap.repetition_window) == (1.0, 4)
    assert (config.merge.threshold, config.merge.image_weight, config.merge.max_segments) == (0.8, 0.5, 0)


@pytest.mark.parametrize(("stage", "settings"), [
    (DinoConfig, {"size": 8}), (DinoConfig, {"stride": 0}), (DinoConfig, {"max_aspect": 0.5}),
    (TreeConfig, {"leaves": 0}), (TreeConfig, {"similarity": 1.1}), (TreeConfig, {"min_area": 1.0}),
    (CrfConfig, {"size": 8}), (CrfConfig, {"refine_size": -1}), (CrfConfig, {"iterations": 0}),
    (CrfConfig, {"bilateral_srgb": 0.0}), (CrfConfig, {"max_aspect": 0.0}),
    (ClipConfig, {"encoder": "whole"}), (ClipConfig, {"sigma2": 0.0}), (ClipConfig, {"saliency": "keys"}),
    (ClipConfig, {"masked_blocks": 0}), (ClipConfig, {"memory_mb": 1}),
    (ZeroCapConfig, {"beams": 0}), (ZeroCapConfig, {"temperature": 0.0}), (ZeroCapConfig, {"fusion": 1.5}),
    (ZeroCapConfig, {"prompt": " "}), (ZeroCapConfig, {"iterations": -1}), (ZeroCapConfig, {"memory_mb": 0}),
    (MergeConfig, {"image_weight": -0.1}), (MergeConfig, {"max_segments": -1}),
])  # fmt: skip
def test_out_of_bounds_names_the_setting(stage, settings):
    (name,) = settings
    with pytest.raises(ConfigError, match=name):
        stage(**settings)


def test_override():
    config = PipelineConfig().override(crf__size=448, crf__iterations=5, preset="mine")
    assert (config.crf.size, config.crf.iterations, config.preset) == (448, 5, "mine")
    assert config.crf.refine_size == PipelineConfig().crf.refine_size
    assert PipelineConfig().crf.size == 224


@pytest.mark.parametrize("name", ["crff__size", "crf__sise", "tau"])
def test_override_of_nothing(name):
    with pytest.raises(ConfigError, match="there is no setting"):
        PipelineConfig().override(**{name: 1})


def test_digest_tells_results_apart():
    digest = PipelineConfig().digest()
    assert len(digest) == 12
    assert PipelineConfig().digest() == digest
    assert PipelineConfig().override(clip__memory_mb=99, zerocap__memory_mb=99).digest() == digest
    for stage in dataclasses.fields(PipelineConfig):
        value = getattr(PipelineConfig(), stage.name)
        if isinstance(value, int):
            assert PipelineConfig().override(**{stage.name: value + 1}).digest() != digest
