"""Beam search by hand: two segments, two beams, a vocabulary of four tokens of which 0 ends a text."""

import numpy as np
import pytest

from zgcore.beams import Beams, Ended

END = 0


def extend(beams: Beams, rows: list[list[tuple[int, float]]], width: int = 2) -> tuple[Beams, list[int]]:
    """Each row's candidates as (token, probability)."""
    tokens = np.array([[token for token, _ in row] for row in rows])
    log_p = np.log([[p for _, p in row] for row in rows])
    extended, source = beams.extend(tokens, log_p, width, END)
    return extended, source.tolist()


def test_first_step_keeps_the_best_of_each_segment():
    beams, source = extend(Beams.start(2), [[(1, 0.5), (2, 0.3), (3, 0.2)], [(3, 0.6), (0, 0.25), (1, 0.15)]])
    assert beams.owner.tolist() == [0, 0, 1]
    assert source == [0, 0, 1]
    assert beams.tokens.tolist() == [[1], [2], [3]]
    assert np.exp(beams.sums) == pytest.approx([0.5, 0.3, 0.6])
    assert beams.ended == ((), (Ended((0,), pytest.approx(np.log(0.25))),))


def test_beams_of_one_segment_compete_and_the_other_segment_is_untouched():
    first, _ = extend(Beams.start(2), [[(1, 0.5), (2, 0.4)], [(1, 0.9), (2, 0.1)]])
    # sums of segment 0: 1-1: .5*.2, 1-3: .5*.1, 2-1: .4*.9, 2-3: .4*.6  ->  both survivors come from row 1
    second, source = extend(
        first, [[(1, 0.2), (3, 0.1)], [(1, 0.9), (3, 0.6)], [(3, 0.5), (1, 0.4)], [(1, 0.01), (2, 0.01)]]
    )
    assert source == [1, 1, 2, 2]
    assert second.tokens.tolist() == [[2, 1], [2, 3], [1, 3], [1, 1]]
    assert np.exp(second.sums) == pytest.approx([0.36, 0.24, 0.45, 0.36])


def test_a_finished_beam_competes_with_its_mean():
    beams = Beams(np.array([0]), np.array([[1]]), np.log([0.5]), ((Ended((END,), np.log(0.3)),),))
    # means after two tokens: sqrt(.5*.2) = .316, sqrt(.5*.16) = .283; the finished beam has .3 and stands between
    extended, _ = extend(beams, [[(2, 0.2), (3, 0.16)]])
    assert extended.tokens.tolist() == [[1, 2]]
    assert [beam.tokens for beam in extended.ranked(0)] == [(1, 2), (END,)]
    assert np.exp([beam.score for beam in extended.ranked(0)]) == pytest.approx([0.1**0.5, 0.3])


def test_a_finished_beam_can_be_pushed_out():
    beams = Beams(np.array([0]), np.array([[1]]), np.log([0.5]), ((Ended((END,), np.log(0.2)),),))
    extended, _ = extend(beams, [[(2, 0.5), (3, 0.4)]])
    assert extended.ended == ((),)
    assert extended.tokens.tolist() == [[1, 2], [1, 3]]


def test_all_beams_finish():
    beams, _ = extend(Beams.start(1), [[(END, 0.9), (1, 0.05)]], width=1)
    assert len(beams) == 0
    assert beams.step == 1
    assert [beam.tokens for beam in beams.ranked(0)] == [(END,)]
