"""Weights from a hub on this machine, from its cache and from a folder; what is said when they cannot be had."""

import json
import shutil

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save

from tests.zgcore.hub_server import COMMIT, serve
from zgcore import presets
from zgcore.config import ClipConfig, DinoConfig, ZeroCapConfig
from zgcore.errors import ConfigError, WeightsError
from zgcore.manifest import Entry, fingerprint, read_manifest, sha256, write_manifest
from zgcore.models import load_dino
from zgcore.presets import PRESETS, load_preset
from zgcore.weights import WeightSource, available, clip_origin, dino_origin, origins, pull, verify

DINO = "timm/vit_small_patch8_224.dino"
CLIP = "timm/vit_base_patch16_clip_224.openai"
GPT2 = "distilbert/distilgpt2"
WEIGHTS = {name: save({"weight": torch.full((300,), value)}) for name, value in (("d", 1.0), ("c", 2.0), ("l", 3.0))}
FILES = {
    (DINO, "model.safetensors"): WEIGHTS["d"],
    (CLIP, "open_clip_model.safetensors"): WEIGHTS["c"],
    (GPT2, "config.json"): b'{"model_type": "gpt2"}',
    (GPT2, "model.safetensors"): WEIGHTS["l"],
    (GPT2, "tokenizer.json"): b"{}",
    (GPT2, "merges.txt"): b"#version: 0.2\n",
}
PULLED = [
    "dino.safetensors",
    "clip.safetensors",
    "language_model/config.json",
    "language_model/model.safetensors",
    "language_model/tokenizer.json",
    "language_model/merges.txt",
    "preset.json",
    "manifest.json",
]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty hub cache, and a client that is offline."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    return tmp_path / "cache"


@pytest.fixture
def hub(cache, monkeypatch):
    """A hub that has the files of preset `base`, and a client that asks it."""
    with serve(dict(FILES)) as server:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        use(server.endpoint, monkeypatch)
        yield server


def use(endpoint, monkeypatch) -> None:
    """What HF_ENDPOINT does before the client is imported."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
    template = f"{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def put_in_cache(cache, files=FILES) -> None:
    """The cache as the hub's client leaves it: links from the version's folder to files named by their sums."""
    for (repo, file), content in files.items():
        root = cache / f"models--{repo.replace('/', '--')}"
        blob = root / "blobs" / sha_of(content)
        link = root / "snapshots" / COMMIT / file
        for folder in (blob.parent, link.parent, root / "refs"):
            folder.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(content)
        link.symlink_to(blob)
        (root / "refs" / "main").write_text(COMMIT)


def sha_of(content: bytes) -> str:
    import hashlib

    return hashlib.sha256(content).hexdigest()


def names(folder, paths) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in paths]


def states(folder) -> dict[str, str]:
    return {status.name: status.state for status in verify(folder)}


def test_pull_downloads_checks_and_records(hub, tmp_path):
    said = []
    written = pull("base", tmp_path / "w", said.append)
    assert names(tmp_path / "w", written) == PULLED
    assert sorted(path.name for path in (tmp_path / "w").iterdir()) == [
        "clip.safetensors",
        "dino.safetensors",
        "language_model",
        "manifest.json",
        "preset.json",
    ]
    assert load_file(tmp_path / "w" / "clip.safetensors")["weight"][0] == 2
    assert load_preset(tmp_path / "w") == PRESETS["base"]
    manifest = read_manifest(tmp_path / "w")
    assert list(manifest) == sorted(PULLED[:-2])
    assert manifest["dino.safetensors"] == Entry(
        sha_of(WEIGHTS["d"]), len(WEIGHTS["d"]), f"{DINO}/model.safetensors", "Apache-2.0"
    )
    assert f"dino.safetensors: 0.0 MB from {DINO}/model.safetensors" in said
    assert "dino.safetensors: 100%" in said
    assert set(states(tmp_path / "w").values()) == {"ok"}


def test_a_second_pull_downloads_nothing(hub, tmp_path):
    pull("base", tmp_path / "w", lambda line: None)
    hub.requests.clear()
    said = []
    assert names(tmp_path / "w", pull("base", tmp_path / "w", said.append)) == PULLED
    assert not [request for request in hub.requests if request[0] == "GET"]
    assert said == [f"{name}: already there" for name in PULLED[:-2]]


def test_a_damaged_file_is_fetched_again(hub, tmp_path):
    pull("base", tmp_path / "w", lambda line: None)
    (tmp_path / "w" / "clip.safetensors").write_bytes(b"x" * len(WEIGHTS["c"]))
    hub.requests.clear()
    pull("base", tmp_path / "w", lambda line: None)
    assert [file for method, file, _ in hub.requests if method == "GET"] == ["open_clip_model.safetensors"]
    assert (tmp_path / "w" / "clip.safetensors").read_bytes() == WEIGHTS["c"]


def test_a_download_that_breaks_off_goes_on_where_it_stopped(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", 250)
    hub.cut[CLIP, "open_clip_model.safetensors"] = 500
    pull("base", tmp_path / "w", lambda line: None)
    spans = [span for method, file, span in hub.requests if (method, file) == ("GET", "open_clip_model.safetensors")]
    assert spans == [None, "bytes=500-"]
    assert (tmp_path / "w" / "clip.safetensors").read_bytes() == WEIGHTS["c"]


def test_a_file_that_is_not_what_the_hub_says_is_refused(hub, tmp_path):
    hub.sums[CLIP, "open_clip_model.safetensors"] = "0" * 64
    with pytest.raises(WeightsError, match=r"^clip\.safetensors: its SHA-256 is not the one the hub gives for timm/"):
        pull("base", tmp_path / "w", lambda line: None)
    assert not (tmp_path / "w" / "clip.safetensors").exists()
    assert list(read_manifest(tmp_path / "w")) == ["dino.safetensors"]  # what came before is kept


def test_a_model_with_only_pickled_weights_is_refused(hub, tmp_path):
    hub.files[GPT2, "pytorch_model.bin"] = hub.files.pop((GPT2, "model.safetensors"))
    with pytest.raises(WeightsError, match="has no safetensors weights or no tokenizer; pickled weights are not read"):
        pull("base", tmp_path / "w", lambda line: None)


def test_weights_in_shards_are_pulled_whole(hub, tmp_path):
    content = hub.files.pop((GPT2, "model.safetensors"))
    hub.files[GPT2, "model-1.safetensors"] = content
    hub.files[GPT2, "model.safetensors.index.json"] = b'{"weight_map": {"weight": "model-1.safetensors"}}'
    pull("base", tmp_path / "w", lambda line: None)
    assert {"language_model/model-1.safetensors", "language_model/model.safetensors.index.json"} <= {
        *states(tmp_path / "w")
    }


def test_pull_without_a_network_takes_what_the_cache_has(cache, tmp_path):
    put_in_cache(cache)
    said = []
    assert names(tmp_path / "w", pull("base", tmp_path / "w", said.append)) == PULLED
    assert said[0] == "dino.safetensors: copied from this machine's hub cache"
    assert set(states(tmp_path / "w").values()) == {"ok"}


def test_a_damaged_cache_is_not_copied(cache, tmp_path):
    put_in_cache(cache)
    blob = cache / f"models--{DINO.replace('/', '--')}" / "blobs" / sha_of(WEIGHTS["d"])
    blob.write_bytes(b"x" * len(WEIGHTS["d"]))
    with pytest.raises(WeightsError, match=r"dino\.safetensors: its SHA-256 is not the one the hub gives"):
        pull("base", tmp_path / "w", lambda line: None)


def test_without_network_and_folder_one_line_names_both_cures(cache):
    for load in (
        lambda source: source.dino(DinoConfig()),
        lambda source: source.clip(ClipConfig()),
        lambda source: source.language_model(ZeroCapConfig()),
        lambda source: load_dino(DinoConfig(), source),
    ):
        with pytest.raises(WeightsError) as caught:
            load(WeightSource.hub("paper"))
        text = str(caught.value)
        assert caught.value.exit_code == 3
        assert "\n" not in text
        assert "connect once, or run `zeroguide weights pull --preset paper --to DIR` elsewhere" in text
        assert text.endswith("pass --weights DIR")


def test_a_hub_that_cannot_be_found_is_asked_once(cache, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    with serve({}) as server:
        use(server.endpoint, monkeypatch)  # and nobody listens there any more
    slept = []
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", slept.append)
    with pytest.raises(WeightsError, match=r"the hub cannot be reached \(.*[Cc]onnect"):
        WeightSource.hub().dino(DinoConfig())
    assert slept == []  # the client's rounds of waiting were never entered


def test_from_the_hub_once_then_from_the_cache(hub, monkeypatch):
    source = WeightSource.hub("base")
    file, label = source.dino(DinoConfig())
    folder, _ = source.language_model(ZeroCapConfig(model=GPT2))
    assert label == f"{DINO}/model.safetensors"
    assert file.read_bytes() == WEIGHTS["d"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json",
        "merges.txt",
        "model.safetensors",
        "tokenizer.json",
    ]
    hub.requests.clear()
    assert source.dino(DinoConfig())[0] == file
    assert source.language_model(ZeroCapConfig(model=GPT2))[0] == folder
    assert hub.requests == []


def test_a_file_the_hub_does_not_have(hub):
    del hub.files[DINO, "model.safetensors"]
    with pytest.raises(WeightsError, match=f"the hub has no model.safetensors in {DINO}"):
        WeightSource.hub().dino(DinoConfig())


def test_available_tells_cached_from_absent(cache):
    put_in_cache(cache, {key: FILES[key] for key in FILES if key[0] == DINO})
    found = {status.name: status for status in available(["base"])}
    assert {name: status.state for name, status in found.items()} == {
        "dino": "cached",
        "clip": "absent",
        "language_model": "absent",
    }
    assert found["dino"].size == len(WEIGHTS["d"])
    assert (found["clip"].origin, found["clip"].licence) == (CLIP, "Apache-2.0")
    assert found["clip"].size == pytest.approx(149_620_737 * 4, rel=0.01)  # four bytes a parameter


def test_bundled_presets_need_nothing(cache, monkeypatch, tmp_path):
    monkeypatch.setattr("zgcore.weights.BUNDLED", presets.BUNDLED | {"base"})
    monkeypatch.setattr("zgcore.pulling.BUNDLED", presets.BUNDLED | {"base"})
    assert [status.state for status in available(["base"])] == ["bundled"]
    with pytest.raises(WeightsError, match="there is nothing to pull"):
        pull("base", tmp_path / "w", lambda line: None)


def test_origins_of_the_presets():
    assert [(origin.repo, origin.file) for origin in origins(PRESETS["paper"])] == [
        (DINO, "model.safetensors"),
        ("timm/vit_large_patch14_clip_336.openai", "open_clip_model.safetensors"),
        ("openai-community/gpt2-medium", ""),
    ]
    assert [origin.repo for origin in origins(PRESETS["base"])] == [DINO, CLIP, GPT2]
    assert [origin.licence for origin in origins(PRESETS["paper"])] == ["Apache-2.0", "Apache-2.0", "MIT"]


def test_unknown_names_are_wrong_settings():
    with pytest.raises(ConfigError, match=r"did you mean 'vit_small_patch8_224\.dino'"):
        dino_origin(DinoConfig(model="vit_small_patch8_224.din"))
    with pytest.raises(ConfigError, match=r"no weights 'opnai' for clip\.model .* \(tags: openai\)"):
        clip_origin(ClipConfig(pretrained="opnai"))


@pytest.fixture
def folder(cache, tmp_path):
    put_in_cache(cache)
    pull("base", tmp_path / "w", lambda line: None)
    return tmp_path / "w"


def test_a_folder_is_checked_when_it_is_read(folder):
    source = WeightSource.from_folder(folder, "base")
    assert source.clip(ClipConfig()) == (folder / "clip.safetensors", "clip.safetensors")
    (folder / "clip.safetensors").write_bytes(WEIGHTS["d"])
    with pytest.raises(WeightsError) as caught:
        source.clip(ClipConfig())
    assert str(caught.value) == (
        "clip.safetensors is damaged (its SHA-256 is not the recorded one); "
        f"run `zeroguide weights pull --preset base --to {folder}` on a connected machine"
    )
    (folder / "clip.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"w has no clip\.safetensors; run `zeroguide weights pull --preset base"):
        source.clip(ClipConfig())
    (folder / "language_model" / "merges.txt").write_bytes(b"")
    with pytest.raises(WeightsError, match=r"merges\.txt is damaged \(it has 0 bytes of 14\)"):
        source.language_model(ZeroCapConfig())


def test_no_folder(tmp_path):
    with pytest.raises(WeightsError, match="there is no weights folder"):
        WeightSource.from_folder(tmp_path / "w")


def test_verify_finds_every_kind_of_harm(folder):
    (folder / "dino.safetensors").write_bytes(b"x" * len(WEIGHTS["d"]))
    (folder / "clip.safetensors").write_bytes(b"x")
    (folder / "language_model" / "merges.txt").unlink()
    (folder / "language_model" / "notes.txt").write_text("mine")
    found = {status.name: (status.state, status.detail) for status in verify(folder) if status.state != "ok"}
    assert found == {
        "clip.safetensors": ("damaged", f"it has 1 bytes of {len(WEIGHTS['c']):,}"),
        "dino.safetensors": ("damaged", "its SHA-256 is not the recorded one"),
        "language_model/merges.txt": ("missing", "it is not there"),
        "language_model/notes.txt": ("unlisted", "not in the manifest"),
    }


def test_verify_needs_a_manifest(tmp_path):
    with pytest.raises(WeightsError, match=r"has no manifest\.json to verify against"):
        verify(tmp_path)


def test_manifest_round_trip_and_fingerprint(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert sha256(tmp_path / "a") == digest
    entries = {"language_model/b": Entry("0" * 64, 5, "x/y", "MIT"), "a": Entry(digest, 3, "x/y", "MIT")}
    write_manifest(tmp_path, entries)
    assert read_manifest(tmp_path) == entries
    before = fingerprint(tmp_path)
    write_manifest(tmp_path, entries | {"a": Entry("1" * 64, 3, "x/y", "MIT")})
    assert len(before) == 12
    assert fingerprint(tmp_path) != before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ("[]", 'it has no object "files"'),
        ('{"files": []}', 'it has no object "files"'),
        ('{"files": {"a": 1}}', "the entry of 'a' needs sha256"),
        ('{"files": {"a": {"sha256": "0", "size": 1}}}', "the entry of 'a' needs sha256"),
        (json.dumps({"files": {"a": {"sha256": "0" * 64, "size": True}}}), "the entry of 'a' needs sha256"),
        (json.dumps({"files": {"../a": {"sha256": "0" * 64, "size": 1}}}), "a file outside its folder: '../a'"),
        (json.dumps({"files": {"/a": {"sha256": "0" * 64, "size": 1}}}), "a file outside its folder: '/a'"),
        (json.dumps({"files": {"C:a": {"sha256": "0" * 64, "size": 1}}}), "a file outside its folder: 'C:a'"),
    ],
)
def test_a_manifest_that_cannot_be_trusted(content, message, tmp_path):
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(WeightsError) as caught:
        verify(tmp_path)
    assert message in str(caught.value)


def test_an_unfinished_pull_leaves_no_half_file(hub, tmp_path):
    shutil.rmtree(tmp_path / "w", ignore_errors=True)
    hub.files[CLIP, "open_clip_model.safetensors"] = b"no safetensors at all"
    with pytest.raises(WeightsError, match=r"clip\.safetensors is cut short or no safetensors file"):
        pull("base", tmp_path / "w", lambda line: None)
    assert not (tmp_path / "w" / "clip.safetensors").exists()
    assert states(tmp_path / "w") == {"dino.safetensors": "ok"}


def test_licences_of_timm_models_are_those_timm_states():
    import timm

    for config in (PRESETS["paper"], PRESETS["base"]):
        dino, clip, _ = origins(config)
        assert dino.licence.lower() == timm.get_pretrained_cfg(config.dino.model).license
        assert clip.licence.lower() == timm.get_pretrained_cfg(clip.repo.removeprefix("timm/")).license
