"""`zeroguide weights` on folders made here; nothing is fetched."""

import pytest

from ls_backend import cli
from zgcore.manifest import Entry, sha256, write_manifest
from zgcore.presets import BUNDLED, PRESETS


@pytest.fixture
def folder(tmp_path):
    entries = {}
    for name in ("clip.safetensors", "dino.safetensors"):
        (tmp_path / name).write_bytes(name.encode() * 100)
        entries[name] = Entry(sha256(tmp_path / name), 1600, "example/repo", "MIT")
    write_manifest(tmp_path, entries)
    return tmp_path


def test_list_names_every_preset(capsys):
    assert cli.main(["weights", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["preset", "name", "state", "size", "origin", "licence"]
    assert {line.split()[0] for line in lines[1:]} == set(PRESETS)
    assert all(len(line.split()) >= 5 for line in lines[1:] if line.split()[0] not in BUNDLED)


def test_verify_says_what_is_sound(folder, capsys):
    assert cli.main(["weights", "verify", str(folder)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[1:] == [["clip.safetensors", "ok", "1.6", "kB"], ["dino.safetensors", "ok", "1.6", "kB"]]


def test_verify_ends_in_3_where_a_file_is_damaged(folder, capsys):
    (folder / "clip.safetensors").write_bytes(b"x" * 1600)
    (folder / "dino.safetensors").unlink()
    assert cli.main(["weights", "verify", str(folder)]) == 3
    out, err = capsys.readouterr()
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["damaged", "missing"]
    assert err.startswith("Error: 2 of 2 files are missing or damaged; fetch them again")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["weights", "pul"], 'Did you mean "pull"?'),
        (["weights", "pull", "--preset", "bse", "--to", "x"], 'Did you mean "base"?'),
        (["weights", "pull", "--preset", "base"], "--to"),
        (["weights", "verify", "nowhere"], "nowhere"),
    ],
)
def test_wrong_use_ends_in_2(args, message, capsys):
    assert cli.main(args) == 2
    assert message in capsys.readouterr().err


def test_pull_into_a_place_that_cannot_be_written_ends_in_2(capsys):
    assert cli.main(["weights", "pull", "--preset", "base", "--to", "/proc/zeroguide"]) == 2
    assert "choose another with --to" in capsys.readouterr().err
