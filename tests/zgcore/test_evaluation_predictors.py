"""The ablations are the settings they are said to be, and all go through one call."""

from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco

from zgcore.errors import ConfigError, EvaluationError
from zgcore.evaluation.ground_truth import VOID, GroundTruth, Sample
from zgcore.evaluation.predictors import ABLATIONS, ModelSpec, Scene, ablation
from zgcore.evaluation.settings_text import FRIENDLY, read_setting, setting_name
from zgcore.masked_clip import CropMaskClip
from zgcore.presets import get_preset
from zgcore.samples import sample_paths

TINY = next(path for path in sample_paths() if path.stem == "bus_tiny")
CAT = next(path for path in sample_paths() if path.stem == "cat")
SMALL = {"dino__size": 64, "crf__refine_size": 0, "zerocap__candidates": 16, "zerocap__iterations": 1}


def scene(path: Path, rows=((0, 0, 2, VOID),)):
    return Scene(Sample(path.stem, path), GroundTruth(np.array(rows, np.int32)))


def spec(predictor, **settings):
    return ModelSpec(predictor, "untrained", "cpu", settings=SMALL | settings)


@pytest.mark.parametrize(("name", "changes"), [
    ("full", {}),
    ("no-merge", {"merge.threshold": 2.0, "merge.max_segments": 0}),
    ("no-subtraction", {"clip.encoder": "masked", "clip.global_subtraction": False}),
    ("crop", {"clip.encoder": "crop"}),
    ("saliency-weights", {"clip.saliency": "weights", "clip.global_subtraction": True, "clip.encoder": "masked"}),
    ("saliency-output", {"clip.saliency": "output", "clip.global_subtraction": True, "clip.encoder": "masked"}),
    ("layers-3", {"clip.masked_blocks": 3, "clip.encoder": "masked"}),
    ("oracle", {}),
])  # fmt: skip
def test_an_ablation_is_a_setting(name, changes):
    assert {key.replace("__", "."): value for key, value in ablation(name).items()} == changes
    get_preset("paper").override(**ablation(name))  # every one exists, and is within its bounds


@pytest.mark.parametrize("name", ["fulll", "layers-0", "layers-", "layers-x", "", "file:x", "Full"])
def test_an_unknown_predictor_is_told(name):
    with pytest.raises(EvaluationError, match=r"there is no predictor.*no-subtraction.*file:COCO\.json"):
        ablation(name)
    with pytest.raises(EvaluationError, match="Did you mean 'no-merge'"):
        ablation("nomerge")


def test_the_ablation_stands_above_the_settings():
    built = spec("no-subtraction", clip__global_subtraction=True, clip__sigma2=1.0).build()
    assert not built.model.config.clip.global_subtraction
    assert built.model.config.clip.sigma2 == 1.0
    assert isinstance(spec("crop").build().model.encoder, CropMaskClip)


def test_more_layers_than_the_tower_has():
    with pytest.raises(ConfigError, match=r"masked_blocks must be 1\.\.6"):
        spec("layers-7").build()


def test_full_is_the_pipeline_and_no_merge_its_leaves():
    full, unmerged = (spec(name, merge__threshold=0.95).build() for name in ("full", "no-merge"))
    found, leaves = full.predict(scene(CAT)), unmerged.predict(scene(CAT))
    plain = full.model(scene(CAT).image)
    assert found.texts == plain.labels
    np.testing.assert_array_equal(np.stack([coco.decode(mask) for mask in found.masks]).astype(bool), plain.masks)
    np.testing.assert_allclose(found.embeddings, plain.embeddings, atol=1e-5)
    np.testing.assert_allclose(found.scores, plain.scores, atol=1e-5)
    assert len(leaves) == len(plain.tree.leaves) > len(found)
    assert set(found.seconds) == {"candidates", "embedding", "text"}


def test_true_masks_are_embedded_by_the_same_encoder():
    """Truth of another size than the photo: class 0 is its left half, class 2 the third quarter, the rest is void."""
    built = spec("oracle").build()
    found = built.predict(scene(TINY))
    image = scene(TINY).image
    assert len(found) == 2
    assert [coco.decode(mask).tolist() for mask in found.masks] == [[[1, 1, 0, 0]], [[0, 0, 1, 0]]]
    import torch

    masks = torch.tensor([[[1.0, 1, 0, 0]], [[0, 0, 1, 0]]])
    encoder = built.model.encoder
    wanted = encoder.encode(encoder.pixels(image), masks)
    np.testing.assert_allclose(found.embeddings, wanted.numpy(), atol=1e-5)
    features = built.label_features(list(found.texts)).numpy()
    norms = np.linalg.norm(found.embeddings, axis=1)
    np.testing.assert_allclose(found.scores, (features * found.embeddings).sum(axis=1) / norms, atol=1e-5)
    labelled = built.label_true_masks(scene(TINY))
    assert labelled.texts == found.texts


def test_true_masks_of_every_ablation_but_no_merge():
    assert spec("no-merge").build().label_true_masks(scene(TINY)) is None
    masked, crop = (spec(name).build().label_true_masks(scene(TINY)) for name in ("full", "crop"))
    assert len(masked) == len(crop) == 2
    assert not np.allclose(masked.embeddings, crop.embeddings, atol=1e-3)


def test_an_image_without_classes_has_no_true_masks():
    built = spec("oracle").build()
    found = built.predict(scene(TINY, [[VOID, VOID]]))
    assert len(found) == 0
    assert found.embeddings.shape == (0, 64)


def test_class_names_are_asked_as_the_paper_asks_them():
    built = spec("full").build()
    features = built.label_features(["cat", "dog"])
    wanted = built.model.labeller.clip_text.encode(["Image of a cat.", "Image of a dog."])
    np.testing.assert_allclose(features, wanted / wanted.norm(dim=1, keepdim=True), atol=1e-6)


def test_a_photo_that_is_not_there_is_the_images_error():
    built = spec("full").build()
    with pytest.raises(OSError, match="no-such"):
        built.predict(scene(Path("no-such.jpg")))


@pytest.mark.parametrize(("text", "setting"), [
    ("clip.sigma2=1", ("clip__sigma2", 1.0)),
    ("sigma2 = 2.5", ("clip__sigma2", 2.5)),
    ("T_dino=0.5", ("tree__similarity", 0.5)),
    ("tau_merge=0.7", ("merge__threshold", 0.7)),
    ("masked_blocks=2", ("clip__masked_blocks", 2)),
    ("saliency=weights", ("clip__saliency", "weights")),
    ("clip.global_subtraction=no", ("clip__global_subtraction", False)),
    ("labeler=retrieval", ("labeler", "retrieval")),
    ("zerocap.prompt=A photo of a", ("zerocap__prompt", "A photo of a")),
])  # fmt: skip
def test_settings_as_people_write_them(text, setting):
    assert read_setting(text) == setting


@pytest.mark.parametrize(("text", "message"), [
    ("sigma2", "write stage.name=value"),
    ("sigma=1", "did you mean 'sigma2'"),
    ("clip.sigma=1", "did you mean 'clip.sigma2'"),
    ("preset=mini", "no setting 'preset'"),
    ("clip=1", "no setting 'clip'"),
    ("sigma2=nan", "clip.sigma2 must be a number, not 'nan'"),
    ("sigma2=", "clip.sigma2 must be a number, not ''"),
    ("masked_blocks=1.5", "clip.masked_blocks must be a whole number, not '1.5'"),
    ("saliency=rows", "clip.saliency must be output or weights, not 'rows'"),
    ("clip.global_subtraction=maybe", "must be true or false"),
])  # fmt: skip
def test_wrong_settings_are_told(text, message):
    with pytest.raises(ConfigError, match=message):
        read_setting(text)


def test_every_friendly_name_is_a_setting():
    assert {setting_name(name) for name in FRIENDLY} == set(FRIENDLY.values())
    assert all(ablation(name) is ABLATIONS[name] for name in ABLATIONS)
