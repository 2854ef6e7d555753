"""Tasks that share images, and what is held while many are answered."""

import gc
import weakref
from concurrent.futures import CancelledError

import pytest

from ls_backend.labelling_config import parse_config
from ls_backend.predicting import predict_in_order
from tests.ls_backend.bands import BandSegmenter
from tests.ls_backend.serving import PALETTE, serving, settings_for, task
from tests.ls_backend.test_app import Slow, until

CONFIG = parse_config(PALETTE)


def test_an_image_that_somebody_else_waits_for_is_not_dropped(tmp_path):
    model = Slow()
    with serving(settings_for(tmp_path, deadline_s=1.0), model) as (client, backend):
        predictor = backend.predictor
        first = predictor.start(task(1), CONFIG)
        until(lambda: model.waiting)
        other = predictor.start(task(2), CONFIG)
        until(lambda: other.images[0].done())
        assert client.predict([task(2)]) == [[]]  # its deadline passes
        model.go.set()
        assert len(predictor.finish(other, 30).document["result"]) == 8
        assert len(predictor.finish(first, 30).document["result"]) == 8


def test_an_image_that_nobody_waits_for_any_longer_is_dropped(tmp_path):
    model = Slow()
    with serving(settings_for(tmp_path), model) as (_, backend):
        predictor = backend.predictor
        first = predictor.start(task(1), CONFIG)
        until(lambda: model.waiting)
        others = [predictor.start(task(2), CONFIG) for _ in range(2)]
        until(lambda: all(other.images[0].done() for other in others))
        for other in others:
            predictor.drop(other)
        with pytest.raises(CancelledError):
            predictor.finish(others[0], 30)
        again = predictor.start(task(2), CONFIG)  # is begun anew
        model.go.set()
        assert len(predictor.finish(again, 30).document["result"]) == 8
        predictor.finish(first, 30)
    assert sum(model.calls) == 2


def test_pictures_of_answered_tasks_are_not_held(tmp_path):
    held, alive = [], []

    def tell(outcome):
        held.extend(map(weakref.ref, outcome.predicted.images))
        gc.collect()
        alive.append(sum(one() is not None for one in held))

    with serving(settings_for(tmp_path), BandSegmenter()) as (_, backend):
        outcomes = predict_in_order(backend.predictor, [task(n) for n in range(10)], CONFIG, 60, tell)
        assert [len(outcome.predicted.document["result"]) for outcome in outcomes] == [8] * 10
    assert len(held) == 10
    assert max(alive) <= 2  # the one that is told, and one that a thread is just letting go
