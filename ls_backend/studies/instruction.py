"""What raters are told: the paper's scale (section 5.2), how to use it, and examples on our own sample photos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from markupsafe import Markup
from PIL import Image, ImageDraw

from ls_backend.files import atomic_write, make_folder
from ls_backend.studies.pictures import PhotoPictures, PictureStyle, jpeg
from zgcore.gallery import page_environment, templates_folder
from zgcore.images import load_image
from zgcore.samples import sample_paths

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

PAGE: Final = "index.html"
STYLE: Final = PictureStyle(longest=640, inset=240)

Points = tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Score:
    """One score of the scale, and when to choose it."""

    key: int
    name: str
    when: str


@dataclass(frozen=True)
class Example:
    """A label for a part of a sample photo, with the score it deserves. part: name in PARTS."""

    part: str
    label: str
    score: int
    why: str


SCALE: Final = (
    Score(0, "incorrect", "the text is about something else, even if that is elsewhere in the photo."),
    Score(1, "partially correct", "some of the text is right and some is wrong, or it fits only some of the part."),
    Score(
        2,
        "correct, but too general or too specific",
        "nothing is wrong, but a closer or a wider word would describe the part better; or the text says more than "
        "anybody can see.",
    ),
    Score(3, "correct", "the text is a good name for the marked part."),
)
RULES: Final = (
    "Look at the marked part first, then read the text. What is dark does not count.",
    "Small parts are shown a second time, enlarged; a frame shows where they are.",
    "Ragged edges do not matter. Think of what most of the marked part is.",
    "A piece of a thing may be called by the name of the thing: “cat” is correct for the face of a cat.",
    "Spelling, singular or plural and missing little words do not matter. Synonyms are as good.",
    "Take your first clear impression. There is no need to look anything up.",
)
# Polygons drawn by hand: x, y in pixels of the upright photo.
PARTS: Final[dict[str, tuple[str, str, Points]]] = {
    "cake": (
        "cake", "a piece of cake, marked",
        ((134, 48), (180, 18), (215, 0), (440, 0), (487, 38), (484, 90), (480, 165), (400, 205), (310, 245), (238, 293),
         (212, 288), (165, 232), (152, 190), (145, 120)),
    ),
    "path": (
        "street", "a path beside a road, marked",
        ((252, 360), (280, 342), (340, 300), (380, 270), (400, 245), (408, 222), (420, 222), (430, 245), (428, 265),
         (410, 300), (385, 345), (377, 360)),
    ),
    "horse": (
        "riders", "a horse on a beach, marked",
        ((355, 195), (372, 188), (384, 192), (396, 208), (408, 230), (416, 250), (417, 275), (421, 300), (412, 330),
         (404, 354), (399, 352), (402, 328), (392, 318), (393, 300), (376, 298), (371, 320), (370, 350), (361, 350),
         (366, 318), (367, 298), (369, 265), (371, 242), (362, 248), (351, 242), (353, 222)),
    ),
    "bottle": (
        "kitchen", "a small part of a kitchen counter, marked",
        ((315, 296), (329, 296), (330, 306), (341, 318), (344, 340), (342, 380), (336, 385), (300, 382), (294, 372),
         (297, 345), (301, 322), (314, 308)),
    ),
}  # fmt: skip
EXAMPLES: Final = (
    Example("cake", "slice of chocolate cake", 3, "That is what it is."),
    Example("path", "bicycle lane", 3, "A good name for it, and so is “cycle path”."),
    Example("cake", "food", 2, "Right, but too general: “cake” says more."),
    Example("horse", "Lipizzan stallion", 2, "A horse it is; nobody can see the breed. Too specific."),
    Example("horse", "horse and cart", 1, "The horse is right; there is no cart."),
    Example("path", "road full of cars", 1, "A kind of road, but there is no car on the marked part."),
    Example("bottle", "toaster", 0, "It is a bottle."),
    Example("cake", "fork", 0, "There is a fork in the photo, but not in the marked part."),
)
_SOURCES: Final = {
    "cake": "https://www.flickr.com/photo.gne?id=3229338700",
    "street": "https://www.flickr.com/photo.gne?id=4575950642",
    "riders": "https://www.flickr.com/photo.gne?id=5022207571",
    "kitchen": "https://www.flickr.com/photo.gne?id=6924897347",
}
_LICENCES: Final = {"cake": "CC BY-SA 2.0", "street": "CC BY-SA 2.0", "riders": "CC BY 2.0", "kitchen": "CC BY 2.0"}


def instruction_html(address: Callable[[str], str]) -> Markup:
    """The instruction as a piece of a page, with classes and without styles.

    address: gives where a picture is, from its file name in the study's instruction/.
    """
    examples = [
        {
            "address": address(picture_name(example.part)),
            "shows": PARTS[example.part][1],
            "label": example.label,
            "score": example.score,
            "why": example.why,
        }
        for example in EXAMPLES
    ]
    credits = [{"text": f"{name} ({_LICENCES[name]})", "link": link} for name, link in _SOURCES.items()]
    template = page_environment().get_template("study_instruction.html")
    return Markup(template.render(scale=SCALE, rules=RULES, examples=examples, credits=credits))


def picture_name(part: str) -> str:
    return f"{part}.jpg"


def write_instruction(folder: Path) -> None:
    """Write index.html and its pictures. OutputError where the folder cannot be written."""
    make_folder(folder)
    for part in PARTS:
        with atomic_write(folder / picture_name(part)) as handle:
            handle.write(jpeg(example_picture(part), STYLE))
    style = "".join((templates_folder() / name).read_text("utf-8") for name in ("gallery.css", "study_instruction.css"))
    page = page_environment().get_template("study_instruction_page.html")
    html = page.render(instruction=instruction_html(lambda name: name), style=Markup(style))
    with atomic_write(folder / PAGE) as handle:
        handle.write(html.encode())


def example_picture(part: str) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: a sample photo with a part of it marked."""
    sample, _, points = PARTS[part]
    photo = load_image(next(path for path in sample_paths() if path.stem == sample))
    canvas = Image.new("1", (photo.shape[1], photo.shape[0]))
    ImageDraw.Draw(canvas).polygon(points, fill=1)
    return PhotoPictures(photo, STYLE).draw(np.array(canvas))
