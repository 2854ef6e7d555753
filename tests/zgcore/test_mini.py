"""The mini preset: real weights, so labels must mean something."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from zgcore import Segmentation, ZeroGuidance, load_image
from zgcore.errors import WeightsError
from zgcore.mini.architecture import MiniTokenizer
from zgcore.mini.load import WEIGHTS_FILE, WEIGHTS_FOLDER, WORDS_FILE, MiniModels, load_mini, words
from zgcore.mini.teachers import load_imagenet_net
from zgcore.mini.trunk import Trunk
from zgcore.samples import sample_paths
from zgcore.zerocap import ZeroCap

CATS = {"cat", "kitten", "feline", "tabby"}
BUSES = {"bus", "coach", "van", "vehicle", "passenger"}
ROADS = {"road", "street", "highway", "pavement", "driveway"}


@pytest.fixture(scope="module")
def model() -> ZeroGuidance:
    return ZeroGuidance.from_preset("mini", device="cpu")


@pytest.fixture(scope="module")
def mini() -> MiniModels:
    return load_mini()


def segment(model: ZeroGuidance, name: str) -> Segmentation:
    return model(load_image(next(path for path in sample_paths() if path.stem == name)))


def share_called(result: Segmentation, words: set[str]) -> np.ndarray:
    """(H, W) bool: pixels of segments whose label has one of the words."""
    named = [index for index, label in enumerate(result.labels) if words & set(label.split())]
    return np.isin(result.index_map, named)


def test_the_cat_is_a_cat(model):
    result = segment(model, "cat")
    cat = share_called(result, CATS)
    height, width = cat.shape
    face = cat[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3]  # the photo's middle is the cat's face
    assert face.mean() > 0.9
    assert cat.mean() > 0.5
    best = result.labels[int(result.scores.argmax())]
    assert CATS & set(best.split())


def test_the_street_has_a_road_and_buildings(model):
    result = segment(model, "street")
    road, building = share_called(result, ROADS), share_called(result, {"building", "house", "skyscraper"})
    assert 0.05 < road.mean() < 0.6
    assert 0.05 < building.mean() < 0.7
    assert np.argwhere(road)[:, 0].mean() > np.argwhere(building)[:, 0].mean()  # the road lies below


def test_outputs_name_the_preset_and_do_not_call_it_random(model):
    result = segment(model, "bus_tiny")
    assert result.preset == "mini"
    assert not result.random_weights
    assert model.version.startswith("mini-")
    assert "random" not in model.version


def test_the_method_beats_its_ablations_on_the_cat(model):
    """Cosine of the cat's segment with the word, against crop-and-mask on the same segment."""
    image = load_image(next(path for path in sample_paths() if path.stem == "cat"))
    tree = model.oversegment(image)
    node = max(tree.leaves, key=lambda leaf: tree.mask(leaf).sum())
    mask = torch.from_numpy(tree.mask(node)[None]).float()
    word = model.labeller.label_features(["cat"])[0]
    crop = ZeroGuidance.from_preset("mini", device="cpu", clip__encoder="crop").encoder
    ours = model.encoder.encode(model.encoder.pixels(image), mask)[0]
    theirs = crop.encode(crop.pixels(image), mask)[0]
    assert torch.cosine_similarity(ours, word, dim=0) > torch.cosine_similarity(theirs, word, dim=0)


def test_zerocap_says_the_noun_whose_embedding_it_is_given(model):
    assert isinstance(model.labeller, ZeroCap)
    nouns = ["cat", "horse", "umbrella", "mountain", "pizza", "bicycle", "sky", "railroad", "volcano", "harp"]
    captions = model.labeller.captions(model.labeller.label_features(nouns))
    said = [caption.label for caption in captions]
    assert sum(label == noun for label, noun in zip(said, nouns, strict=True)) >= 9, said


def test_labels_are_words_of_the_vocabulary(model):
    vocabulary = set(words())
    result = segment(model, "riders")
    spoken = [word for label in result.labels for word in label.split()]
    assert np.mean([word in vocabulary for word in spoken]) > 0.95


def test_retrieval():
    result = segment(ZeroGuidance.from_preset("mini", device="cpu", labeler="retrieval"), "cat")
    assert share_called(result, CATS).mean() > 0.5


def test_all_weights_are_small():
    assert sum(file.stat().st_size for file in WEIGHTS_FOLDER.iterdir()) <= 40_000_000


def test_the_trunk_is_the_published_one_unchanged(mini):
    """Against the package it was taken from, to the rounding of float16."""
    published = Trunk(load_imagenet_net()).state_dict()
    shipped = mini.clip.visual.conv1.trunk.state_dict()
    assert published.keys() == shipped.keys()
    for name, tensor in published.items():
        assert torch.equal(tensor.half().float(), shipped[name]), name


def test_tokenizer_is_a_prefix_of_clips(mini):
    assert isinstance(mini.tokenizer, MiniTokenizer)
    assert mini.tokenizer.vocab_size == 16_000
    assert mini.tokenizer.encode("a photo of a cat") == [320, 1125, 539, 320, 2368]  # all among CLIP's first merges
    assert (mini.tokenizer.sot_token_id, mini.tokenizer.eot_token_id) == (15_998, 15_999)
    rare = "sesquipedalian"
    assert mini.tokenizer.decode(mini.tokenizer.encode(rare)).strip() == rare


def copy_of_weights(folder: Path, **changes: torch.Tensor | None) -> Path:
    tensors = load_file(WEIGHTS_FOLDER / WEIGHTS_FILE) | changes
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, folder / WEIGHTS_FILE)
    (folder / WORDS_FILE).write_bytes((WEIGHTS_FOLDER / WORDS_FILE).read_bytes())
    return folder


def test_weights_from_a_folder(tmp_path):
    folder = copy_of_weights(tmp_path)
    model = ZeroGuidance.from_preset("mini", device="cpu", weights=folder)
    assert model.version != ZeroGuidance.from_preset("mini", device="cpu").version  # told apart by their folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip.visual.proj": torch.zeros(3, 3)}, "clip.*visual.proj does not fit|visual.proj does not fit"),
        ({"clip.visual.proj": None}, "visual.proj is missing"),
        ({"clip.unknown": torch.zeros(1)}, "unknown does not fit"),
    ],
)
def test_weights_of_another_build(tmp_path, changes, message):
    with pytest.raises(WeightsError, match=message):
        load_mini(copy_of_weights(tmp_path, **changes))


def test_missing_and_damaged_weights(tmp_path):
    with pytest.raises(WeightsError, match="missing"):
        load_mini(tmp_path)
    folder = copy_of_weights(tmp_path)
    (folder / WEIGHTS_FILE).write_bytes(b"not tensors")
    with pytest.raises(WeightsError, match="not a usable safetensors file"):
        load_mini(folder)
