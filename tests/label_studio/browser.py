"""Label Studio's pages in Chromium: what an annotator does, and what is drawn for her.

Regions are drawn on canvases of their own, over the photo's: the first canvas is the photo, and of the others those
that are not empty hold a region's mask in its label's colour.
"""

import base64
import io

import numpy as np
from PIL import Image
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from tests.chromium import start_chromium
from tests.label_studio.studio import until

WINDOW = (1500, 1700)  # high: the region list holds no more than what fits
CANVASES = """return [...document.querySelectorAll(".konvajs-content canvas")].map(c => c.toDataURL())"""
BOXES = """return [".konvajs-content", ".lsf-image img"].map(selector => {
const box = document.querySelector(selector).getBoundingClientRect();
return [box.left, box.top, box.right, box.bottom]})"""


class Browser:
    """One browser at one Label Studio. screenshots: folder for `shot`."""

    def __init__(self, url, profile, screenshots):
        self.driver = start_chromium(profile, WINDOW)
        self.driver.set_page_load_timeout(120)
        self.driver.set_script_timeout(120)
        self.url = url
        self.screenshots = screenshots

    def open(self, path):
        self.driver.get(self.url + path)

    def shot(self, name):
        """Keep what is shown now."""
        self.driver.save_screenshot(str(self.screenshots / f"{name}.png"))

    def all(self, selector):
        """What is there now: by CSS, or by XPath where it starts with //."""
        return self.driver.find_elements(By.XPATH if selector.startswith("//") else By.CSS_SELECTOR, selector)

    def one(self, selector, number=0):
        """An element once it is there."""
        return until(lambda: self.all(selector)[number:], f"{selector} is on the page")[0]

    def click(self, selector, number=0):
        """Click an element once it can be: it is there, and nothing lies over it."""

        def clicked():
            try:
                self.all(selector)[number].click()
            except (WebDriverException, IndexError):
                return False
            return True

        until(clicked, f"{selector} can be clicked")

    def type(self, selector, text, number=0):
        """Replace the text of a field."""
        self.click(selector, number)
        field = self.one(selector, number)
        field.send_keys(Keys.CONTROL, "a")
        field.send_keys(text)

    def says(self, text):
        """Wait until a text can be read on the page."""
        until(lambda: text in self.driver.find_element(By.TAG_NAME, "body").text, f"the page says {text!r}")

    def log_in(self, account):
        self.open("/user/login")
        self.one("input[name=email]").send_keys(account.email)
        self.one("input[name=password]").send_keys(account.password, Keys.ENTER)
        until(lambda: "/user/login" not in self.driver.current_url, "logged in")

    def open_task(self, project, task, count):
        """Open a task in the editor, and wait until `count` regions are listed and drawn."""
        self.open(f"/projects/{project}/data?task={task}")
        until(lambda: len(self.all(".lsf-outliner-item")) == count, f"{count} regions are listed")
        until(lambda: len(self.drawn()[1]) == count, f"{count} regions are drawn")

    def texts(self):
        """Of the region list, in its order."""
        return [field.get_attribute("value") for field in self.all("[data-testid=textarea-region-input]")]

    def drawn(self):
        """What is drawn where the image can be seen: the photo (H, W, 3) uint8, and by colour the masks (H, W) bool.

        None and no masks before there is a photo. Colours are (r, g, b).
        """
        layers = [_pixels(url) for url in self.driver.execute_script(CANVASES)]
        if not layers or not layers[0][..., 3].any():
            return None, {}
        left, top, right, bottom = (round(side) for side in self.seen()[0])
        photo, *layers = [layer[top:bottom, left:right] for layer in layers]
        masks = {}
        for layer in layers:
            mask = layer[..., 3] > layer[..., 3].max() / 2  # an edge is drawn softly
            if mask.any():
                masks[_colour(layer, mask)] = mask
        return photo[..., :3], masks

    def seen(self):
        """Where the image can be seen, in pixels of the canvases and in shares of the image's width and height.

        Both as left, top, right, bottom. The editor may show a part of the image, on a part of its canvases.
        """
        stage, image = (np.array(box) for box in self.driver.execute_script(BOXES))
        box = np.concatenate([np.maximum(stage, image)[:2], np.minimum(stage, image)[2:]])
        size = image[2:] - image[:2]
        return box - np.tile(stage[:2], 2), (box - np.tile(image[:2], 2)) / np.tile(size, 2)

    def select_region(self, number):
        """Select a region of the list, so that its mask can be edited."""

        def selected():
            if "lsf-tool_disabled" not in self.one("button[aria-label=eraser]").get_attribute("class"):
                return True
            self.click(".lsf-outliner-item__title", number)
            return False

        until(selected, "the region is selected", pause=1)

    def drag(self, points):
        """Press the button at the first (x, y) of the image, move through the others, let go."""
        stage = self.one(".konvajs-content")
        chain = ActionChains(self.driver, duration=50)
        for number, (x, y) in enumerate(points):
            chain.move_to_element_with_offset(stage, x - stage.size["width"] // 2, y - stage.size["height"] // 2)
            if number == 0:
                chain.click_and_hold()
        chain.release().perform()


def _pixels(url):
    """(H, W, 4) uint8 of a data URL."""
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGBA"))


def _colour(layer, mask):
    """The colour most of a mask is drawn in."""
    colours, counts = np.unique(layer[mask][:, :3], axis=0, return_counts=True)
    return tuple(int(level) for level in colours[counts.argmax()])
