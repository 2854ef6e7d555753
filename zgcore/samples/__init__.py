"""Eight photos that ship with the package, to try everything with. ATTRIBUTION.md says whose they are."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def sample_paths() -> list[Path]:
    """Paths of the sample photos, sorted by name."""
    folder = Path(str(resources.files(__package__)))
    return sorted(folder.glob("*.jpg"))
