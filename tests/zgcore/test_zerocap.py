"""ZeroCap against the published implementation: its probabilities at every step, and its texts."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests import golden
from zgcore.config import ZeroCapConfig
from zgcore.errors import ConfigError
from zgcore.zerocap import UNLABELLED, ZeroCap, boost, clean_label

REFERENCE = golden.load("zerocap.npz")
CONFIG = ZeroCapConfig(beams=3, max_tokens=4)


def zerocap(config: ZeroCapConfig = CONFIG) -> ZeroCap:
    return ZeroCap(golden.language_model(), golden.gpt2_tokenizer(), golden.text_tower(), config)


def texts(described: list) -> list[list[str]]:
    return [[beam.text for beam in beams] for beams in described]


def test_published_probabilities_at_every_step():
    labeller = zerocap()
    search = labeller.start(REFERENCE["embeddings"])
    compared = 0
    while search.beams.step < 4:
        log_p = labeller.next_log_probabilities(search)
        for segment in range(3):
            for beam, row in enumerate(np.flatnonzero(search.beams.owner == segment)):
                step = search.beams.step
                key = f"probs_step{step}_beam{beam}" if step else "probs_step0_top50"
                got = log_p[row, REFERENCE[f"{key}_ids_{segment}"]].exp()
                assert torch.allclose(got, REFERENCE[f"{key}_{segment}"], rtol=1e-3, atol=0), (step, segment, beam)
                compared += len(got)
        search = labeller.advance(search, log_p)
    assert compared == 3 * (50 + 3 * 3 * 20)


def test_published_texts_together():
    assert texts(zerocap().describe(REFERENCE["embeddings"])) == golden.texts()["length4_beam3"]


def test_published_texts_one_by_one():
    labeller = zerocap()
    alone = [labeller.describe(embedding[None])[0] for embedding in REFERENCE["embeddings"]]
    assert texts(alone) == golden.texts()["length4_beam3"]


def test_published_texts_with_five_beams():
    labeller = zerocap(ZeroCapConfig(beams=5, max_tokens=5))
    assert texts(labeller.describe(REFERENCE["embeddings"][:1])) == [golden.texts()["length5_beam5_segment0"]]


def test_memory_budget_changes_nothing():
    labeller = zerocap(replace(CONFIG, memory_mb=16))
    assert labeller._segments_at_once() == 3
    expected = golden.texts()["length4_beam3"]
    assert texts(labeller.describe(REFERENCE["embeddings"][[0, 1, 2, 1, 0]])) == [*expected, expected[1], expected[0]]


def test_norm_of_the_embedding_does_not_matter():
    assert texts(zerocap().describe(7 * REFERENCE["embeddings"])) == golden.texts()["length4_beam3"]


def test_caption_is_the_beam_that_clip_likes_best():
    labeller = zerocap()
    captions = labeller.captions(REFERENCE["embeddings"])
    for caption, embedding, beams in zip(
        captions, REFERENCE["embeddings"], golden.texts()["length4_beam3"], strict=True
    ):
        asked = [f"Image of a {clean_label(text)}." for text in beams]
        cosines = torch.cosine_similarity(golden.text_tower().encode_plain(asked), embedding, dim=-1)
        assert caption.label == clean_label(beams[int(cosines.argmax())])
        assert caption.similarity == pytest.approx(float(cosines.max()), abs=1e-5)


def test_no_embeddings():
    assert zerocap().describe(torch.empty(0, 64)) == []
    assert zerocap().captions(torch.empty(0, 64)) == []


def test_no_iterations_is_the_untouched_model():
    """Without gradient steps the fused distribution is the language model's own, adjusted."""
    labeller = zerocap(replace(CONFIG, iterations=0))
    search = labeller.start(REFERENCE["embeddings"][:1])
    untouched = search.reading.logits.log_softmax(-1)
    top = int(untouched[0].argmax())
    assert top != labeller.end
    got = labeller.next_log_probabilities(search)[0]
    assert int(got.argmax()) == top


def test_a_segment_without_words_is_called_unlabelled():
    """When the end token is all that is ever likely, every beam is empty."""
    labeller = zerocap(replace(CONFIG, beams=1, iterations=0, start_end_factor=1e-6))
    assert labeller.captions(REFERENCE["embeddings"][:1])[0].label == UNLABELLED


def test_boost_by_hand():
    logits = torch.tensor([2.0, -2.0, 0.0])
    assert boost(logits, 1.1).tolist() == pytest.approx([2.2, -2 / 1.1, 0.0])
    assert boost(logits, 1 / 20).tolist() == pytest.approx([0.1, -40.0, 0.0])


def test_repetition_penalty_damps_recent_tokens_once():
    labeller = zerocap(replace(CONFIG, repetition_penalty=2.0, repetition_window=2, end_factor=1.0))
    search = labeller.start(REFERENCE["embeddings"][:1])
    first, second = labeller.prompt[-2:]
    logits = torch.zeros(1, labeller.lm.vocabulary)
    logits[0, first], logits[0, second], logits[0, labeller.prompt[-3]] = 4.0, -4.0, 4.0
    adjusted = labeller._adjust(logits, search.beams)
    assert adjusted[0, [first, second, labeller.prompt[-3]]].tolist() == [2.0, -8.0, 4.0]


@pytest.mark.parametrize(
    ("text", "label"),
    [(" Black Cat.", "black cat"), ("a.b\x14c\n", "a b c"), (".", ""), ("  Großer  Hund ", "großer hund")],
)
def test_clean_label(text, label):
    assert clean_label(text) == label


def test_a_prompt_that_cannot_be_spelt():
    with pytest.raises(ConfigError, match="single token"):
        zerocap(replace(CONFIG, end_token="the end"))
