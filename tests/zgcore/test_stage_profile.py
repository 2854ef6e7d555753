"""Counted operations against counts worked out by hand."""

import threading

import pytest
import torch
import torch.nn.functional as F

from zgcore.stage_profile import StageProfile, add_to_stage, measured_peak, stage

CPU = torch.device("cpu")


def test_products_and_attention_are_counted():
    profile = StageProfile(CPU)
    q, k = torch.ones(2, 3, 5, 8), torch.ones(2, 3, 7, 8)
    weight = torch.ones(4, 6, requires_grad=True)
    with profile.active():
        with stage("embedding"), torch.inference_mode():
            F.scaled_dot_product_attention(q, k, k)  # scores and values: 2 x 2 b h t s d
            F.linear(torch.ones(9, 6), torch.ones(4, 6), torch.ones(4))  # 2 x 9 x 6 x 4
        with stage("text"):
            F.linear(torch.ones(9, 6), weight).sum().backward()  # forward, and as much for the weight's gradient
    assert profile.costs["embedding"].flops == 2 * 2 * 2 * 3 * 5 * 7 * 8 + 2 * 9 * 6 * 4
    assert profile.costs["text"].flops == 2 * 2 * 9 * 6 * 4
    assert profile.costs["text"].seconds > 0


def test_attention_backward_is_counted():
    profile = StageProfile(CPU)
    q = torch.ones(1, 2, 5, 8, requires_grad=True)
    with profile.active(), stage("text"):
        F.scaled_dot_product_attention(q, q, q).sum().backward()
    product = 2 * 2 * 5 * 5 * 8
    assert profile.costs["text"].flops == (2 + 5) * product  # two products forward, five back


def test_nothing_is_measured_unless_asked():
    profile = StageProfile(CPU)
    with stage("text"):
        torch.ones(2, 2) @ torch.ones(2, 2)
    add_to_stage("CRF", 1.0)
    assert profile.costs == {}


def test_uncounted_stages_and_other_processes():
    profile = StageProfile(CPU, count=False)
    with profile.active():
        with stage("text"):
            torch.ones(2, 2) @ torch.ones(2, 2)
        add_to_stage("CRF", 1.5)
        add_to_stage("CRF", 2.0)
    assert profile.costs["text"].flops is None
    assert (profile.costs["CRF"].seconds, profile.costs["CRF"].runs) == (3.5, 2)


def test_a_failing_block_is_not_added():
    profile = StageProfile(CPU)
    with pytest.raises(RuntimeError, match="no"), profile.active(), stage("text"):
        raise RuntimeError("no")
    assert profile.costs == {}


def test_only_stages_on_the_gpu_wait_for_it(monkeypatch):
    waits = []
    monkeypatch.setattr(torch.cuda, "synchronize", waits.append)
    gpu = torch.device("cuda", 1)
    profile = StageProfile(gpu)
    with profile.active():
        with stage("decode", flops=False):
            pass
        assert waits == []
        with stage("text"):
            assert waits == [gpu]  # what was begun before the stage is not its own
        assert waits == [gpu, gpu]


def test_adding_from_threads():
    profile = StageProfile(CPU)
    threads = [
        threading.Thread(target=lambda: [profile.add("decode", 0.5, flops=3) for _ in range(1000)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (profile.costs["decode"].seconds, profile.costs["decode"].flops) == (2000.0, 12000)


def test_the_document_orders_stages_and_relates_them_to_the_peak():
    profile = StageProfile(CPU)
    profile.add("text", 2.0, flops=10**9)
    profile.add("own stage", 1.0)
    profile.add("decode", 0.25)
    document = profile.document({"text": torch.float32, "features": torch.float32}, seconds=0.05)
    peak = document["peak_flops_per_second"]["float32"]
    assert document["device"] == "cpu"
    assert document["stages"] == [
        {"stage": "decode", "runs": 1, "seconds": 0.25, "flops": None, "share_of_peak": None},
        {"stage": "text", "runs": 1, "seconds": 2.0, "flops": 10**9, "share_of_peak": round(5e8 / peak, 4)},
        {"stage": "own stage", "runs": 1, "seconds": 1.0, "flops": None, "share_of_peak": None},
    ]


def test_a_measured_peak_is_one_of_a_computer():
    assert 1e8 < measured_peak(CPU, torch.float32, seconds=0.05) < 1e15
