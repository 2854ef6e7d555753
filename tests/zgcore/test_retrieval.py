"""Retrieval finds the word whose embedding it is given."""

import pytest
import torch

from tests import golden
from zgcore import ZeroGuidance, load_image
from zgcore.retrieval import Retrieval
from zgcore.samples import sample_paths

WORDS = ("cat", "dog", "railroad track", "sky", "cat")


def test_nearest_word_first():
    labeller = Retrieval(golden.text_tower(), WORDS)
    assert labeller.words == ("cat", "dog", "railroad track", "sky")
    embeddings = 3 * labeller.label_features(["sky", "railroad track"])
    captions = labeller.captions(embeddings)
    assert [caption.label for caption in captions] == ["sky", "railroad track"]
    assert [caption.similarity for caption in captions] == pytest.approx([1.0, 1.0], abs=1e-5)
    for caption, embedding in zip(captions, embeddings, strict=True):
        assert sorted(beam.text for beam in caption.beams) == sorted(labeller.words)
        cosines = {
            word: float(
                torch.cosine_similarity(golden.text_tower().encode([f"Image of a {word}."])[0], embedding, dim=0)
            )
            for word in labeller.words
        }
        assert [beam.score for beam in caption.beams] == pytest.approx(sorted(cosines.values(), reverse=True), abs=1e-5)


def test_no_words():
    with pytest.raises(ValueError, match="at least one word"):
        Retrieval(golden.text_tower(), [])


def test_no_embeddings():
    assert Retrieval(golden.text_tower(), WORDS).captions(torch.empty(0, 64)) == []


def test_in_the_pipeline():
    model = ZeroGuidance.from_preset("untrained", device="cpu", dino__size=64, labeler="retrieval")
    result = model(load_image(next(path for path in sample_paths() if path.stem == "bus_tiny")))
    assert set(result.labels) <= set(model.labeller.words)
    assert model.version != ZeroGuidance.from_preset("untrained", device="cpu", dino__size=64).version
