"""The gallery's files: what they carry, how they are split, and that nothing a user wrote gets out of its place."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from tests.zgcore.test_render import halves, segmentation
from zgcore import gallery
from zgcore.colours import segment_colours
from zgcore.gallery import gallery_item, write_gallery

NASTY = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(2)</script>",
    "\" onmouseover='alert(3)' x=\"",
    "{{ 7 * 7 }}",
]


def item(name="photo.jpg", labels=("left side", "right side"), **options):
    return gallery_item(name, np.full((40, 60, 3), 120, np.uint8), segmentation(halves(40, 60), labels), **options)


class Reader(HTMLParser):
    """Counts elements and gathers attributes and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    def named(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_item_holds_the_views():
    made = item(overlay="overlays/photo.png")
    assert (made.width, made.height) == (60, 40)
    assert made.labels == ("left side", "right side")
    assert made.areas == (0.5, 0.5)
    assert made.scores == (0.25, 0.25)
    assert made.note == ""
    with Image.open(io.BytesIO(made.photo)) as photo:
        assert (photo.format, photo.size) == ("JPEG", (60, 40))
    with Image.open(io.BytesIO(made.index)) as index:
        assert (index.format, index.mode) == ("PNG", "P")
        colours = segment_colours(halves(40, 60), 2)
        np.testing.assert_array_equal(np.asarray(index.convert("RGB")), colours[halves(40, 60)])
    (x0, y0), (x1, _) = made.anchors
    assert 0.2 < x0 < 0.3
    assert 0.3 < y0 < 0.7
    assert 0.7 < x1 < 0.8


def test_large_photos_shrink_and_many_segments_stay_apart():
    index_map = np.arange(300).reshape(15, 20).repeat(100, 0).repeat(100, 1)
    made = gallery_item("big.png", np.zeros((1500, 2000, 3), np.uint8), segmentation(index_map, ["x"] * 300))
    with Image.open(io.BytesIO(made.index)) as index:
        assert index.size == (900, 675)
        assert len(np.unique(np.asarray(index.convert("RGB")).reshape(-1, 3), axis=0)) == 300
    assert len(made.photo) + len(made.index) < 60_000


def test_sizes_must_agree():
    with pytest.raises(ValueError, match="the photo is"):
        gallery_item("x", np.zeros((4, 5, 3), np.uint8), segmentation(np.zeros((5, 4)), ["x"]))


def test_page_tells_what_it_shows(tmp_path):
    failures = [("broken.jpg", "the JPEG data is damaged")]
    (path,) = write_gallery(
        tmp_path, [item(overlay="overlays/a b:c.png")], preset="base", version="1.2.3", failures=failures
    )
    assert path == tmp_path / "index.html"
    assert [p.name for p in tmp_path.iterdir()] == ["index.html"]
    reader = Reader(path.read_text(encoding="utf-8"))
    words = " ".join(" ".join(reader.words).split())
    for said in (
        "1 image, 2 segments",
        "base",
        "1.2.3",
        "photo.jpg",
        "left side",
        "50%",
        "0.25",
        "broken.jpg",
        "is damaged",
    ):
        assert said in words
    assert "random weights" not in words
    assert {"href": "overlays/a%20b%3Ac.png"} in reader.named("a")


def test_random_weights_are_told_at_the_top_and_on_the_card(tmp_path):
    made = gallery_item("a", np.zeros((4, 4, 3), np.uint8), segmentation(np.zeros((4, 4)), ["x"], random_weights=True))
    (path,) = write_gallery(tmp_path, [item(), made], preset="mini", version="1")
    assert path.read_text(encoding="utf-8").count(">random weights: labels mean nothing<") == 2


def test_nothing_is_asked_of_a_network_and_only_our_script_runs(tmp_path):
    (path,) = write_gallery(tmp_path, [item()], preset="base", version="1")
    text = path.read_text(encoding="utf-8")
    reader = Reader(text)
    assert "http:" not in text
    assert "https:" not in text
    for _, attributes in reader.elements:
        assert attributes.get("src", "data:").startswith("data:")
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
    policy = next(m["content"] for m in reader.named("meta") if m.get("http-equiv") == "Content-Security-Policy")
    for tag, directive in (("script", "script-src"), ("style", "style-src")):
        (body,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("nasty", NASTY)
def test_what_users_write_stays_text(nasty, tmp_path):
    plain = item()
    (path,) = write_gallery(tmp_path / "plain", [plain], preset="p", version="1", failures=[("a", "b")])
    shape = [tag for tag, _ in Reader(path.read_text(encoding="utf-8")).elements]
    (path,) = write_gallery(
        tmp_path / "nasty", [item(nasty, (nasty, nasty + "2"))], preset="p", version="1", failures=[(nasty, nasty)]
    )
    reader = Reader(path.read_text(encoding="utf-8"))
    assert [tag for tag, _ in reader.elements] == shape
    assert [word for word in reader.words if word.strip() == nasty][:2] == [nasty] * 2
    assert reader.named("article")[0].keys() == {"class", "id", "aria-labelledby"}


def test_pages_are_streamed_and_linked(tmp_path):
    alive = 0

    def stream():
        nonlocal alive
        for number in range(7):
            alive = number + 1
            yield item(f"photo {number}.jpg")
            failures.append((f"late {number}", "why")) if number == 6 else None

    failures: list[tuple[str, str]] = []
    paths = write_gallery(tmp_path, stream(), preset="p", version="1", failures=failures, per_page=3)
    assert alive == 7
    assert [path.name for path in paths] == ["index.html", "index-2.html", "index-3.html"]
    pages = [Reader(path.read_text(encoding="utf-8")) for path in paths]
    assert [len(page.named("article")) for page in pages] == [3, 3, 1]
    assert [a["href"] for a in pages[1].named("a") if a["href"].startswith("index")] == ["index.html", "index-3.html"]
    assert all("7 images, 14 segments" in " ".join(page.words) for page in pages)
    assert "late 6" in pages[0].words
    assert sorted(p.name for p in tmp_path.iterdir()) == ["index-2.html", "index-3.html", "index.html"]


def test_a_full_page_is_not_followed_by_an_empty_one(tmp_path):
    assert len(write_gallery(tmp_path, [item(), item()], preset="p", version="1", per_page=2)) == 1


def test_no_image_at_all(tmp_path):
    (path,) = write_gallery(tmp_path, [], preset="p", version="1", failures=[("a.jpg", "no such file")])
    words = " ".join(Reader(path.read_text(encoding="utf-8")).words)
    assert "0 images" in words
    assert "No image has a result yet." in words
    assert "no such file" in words
    with pytest.raises(ValueError, match="per_page"):
        write_gallery(tmp_path, [], preset="p", version="1", per_page=0)


def test_a_failing_stream_leaves_the_old_page_and_no_litter(tmp_path):
    write_gallery(tmp_path, [item()], preset="p", version="1")
    before = (tmp_path / "index.html").read_bytes()

    def stream():
        yield item("new.jpg")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_gallery(tmp_path, stream(), preset="p", version="1")
    assert [p.name for p in tmp_path.iterdir()] == ["index.html"]
    assert (tmp_path / "index.html").read_bytes() == before


def test_same_input_gives_the_same_bytes(tmp_path):
    one, two = (write_gallery(tmp_path / name, [item()], preset="p", version="1")[0].read_bytes() for name in "ab")
    assert one == two


def test_templates_are_found():
    assert (gallery.templates_folder() / "gallery.html").is_file()
    assert (gallery.templates_folder() / "gallery_card.html").is_file()
