"""The paper's architectures at full size through the whole code path, on deterministic weights and a tiny budget."""

import numpy as np
import pytest

from tests import golden
from zgcore import load_image
from zgcore.build import Models, assemble, pick_device
from zgcore.dino import DinoKeys
from zgcore.models import load_clip, load_dino, load_language_model
from zgcore.presets import get_preset
from zgcore.samples import sample_paths
from zgcore.weights import WeightSource


@pytest.mark.usefixtures("all_cores")
def test_paper_preset_runs_at_full_size():
    config = get_preset("paper").override(
        dino__size=64,
        dino__stride=8,
        tree__leaves=3,
        crf__size=64,
        zerocap__beams=2,
        zerocap__max_tokens=2,
        zerocap__iterations=1,
        zerocap__candidates=8,
    )
    source = WeightSource.random(tokenizer=golden.DATA / "gpt2_tokenizer.json")
    models = Models(
        DinoKeys(load_dino(config.dino, source), config.dino),
        *load_clip(config.clip, source),
        *load_language_model(config.zerocap, source),
        random_weights=True,
    )
    model = assemble(models, config, pick_device("cpu"))
    assert model.encoder.grid == (24, 24)
    assert model.encoder.image_size == (336, 336)
    assert len(model.encoder.shared) == 20
    assert len(model.encoder.masked) == 4
    assert model.labeller.lm.vocabulary == 50257

    image = load_image(next(path for path in sample_paths() if path.stem == "bus_tiny"))
    features = model.oversegment.features(image)
    assert features.shape[2] == 384
    result = model(image)
    assert result.index_map.shape == image.shape[:2]
    assert 1 <= len(result) <= 3
    assert result.embeddings.shape == (len(result), 768)
    assert np.isfinite(result.embeddings).all()
    assert all(result.labels)
