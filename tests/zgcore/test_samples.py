"""The photos that ship: few, small, varied, readable, and each with its attribution."""

from __future__ import annotations

from PIL import Image

from zgcore.images import load_image
from zgcore.samples import sample_paths


def test_what_ships():
    paths = sample_paths()
    assert [path.name for path in paths] == [
        "bus_tiny.jpg", "cake.jpg", "cat.jpg", "giraffes.jpg", "kitchen.jpg", "photographer.jpg", "riders.jpg",
        "street.jpg",
    ]  # fmt: skip
    assert sum(path.stat().st_size for path in paths) <= 1_200_000


def test_variety():
    modes, turned, small = [], [], []
    for path in sample_paths():
        with Image.open(path) as image:
            modes.append(image.mode)
            turned += [path.name] if image.getexif().get(0x0112, 1) != 1 else []
            small += [path.name] if max(image.size) <= 64 else []
    assert sorted(modes) == ["L"] + ["RGB"] * 7
    assert turned == ["giraffes.jpg"]
    assert small == ["bus_tiny.jpg"]


def test_all_are_read_upright():
    shapes = {path.name: load_image(path).shape for path in sample_paths()}
    assert shapes["giraffes.jpg"] == (640, 427, 3)
    assert shapes["bus_tiny.jpg"] == (43, 64, 3)
    grey = load_image(next(path for path in sample_paths() if path.name == "photographer.jpg"))
    assert (grey[..., 0] == grey[..., 2]).all()


def test_every_photo_is_attributed():
    table = (sample_paths()[0].parent / "ATTRIBUTION.md").read_text(encoding="utf-8")
    rows = {line.split("`")[1]: line for line in table.splitlines() if line.startswith("| `")}
    assert sorted(rows) == [path.name for path in sample_paths()]
    for row in rows.values():
        assert "https://creativecommons.org/" in row
        assert row.count("https://") == 2
        assert len(row.strip("| ").split(" | ")) == 6
