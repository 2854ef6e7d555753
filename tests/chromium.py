"""Headless Chromium for tests: where it is, when to skip, and the one way to start it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from selenium.webdriver import Chrome

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
MISSING = "chromium and chromedriver are not both installed"
needs_chromium = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason=MISSING)

# Labels that change the page's title if a page ever takes them for markup.
IMG, SCRIPT = "<img src=x onerror=document.title='broken'>", "</script><script>document.title='broken'</script>"
_FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--disable-quic",
]  # fmt: skip
LOGS = {"goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}


def start_chromium(
    profile: Path, size: tuple[int, int] = (1400, 1000), capabilities: dict[str, Any] | None = None
) -> Chrome:
    """A browser with an empty profile in a folder. size: of its window, in pixels. To be ended with `quit`."""
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    options = ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*_FLAGS, f"--window-size={size[0]},{size[1]}", f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    for name, value in (capabilities or {}).items():
        options.set_capability(name, value)
    return Chrome(options=options, service=Service(DRIVER))
