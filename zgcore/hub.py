"""Files from the model hub: the local cache first, then the network, and a quick plain answer where neither helps.

The hub's client repeats a failing request for half a minute and more before it gives up. One short question is asked
here first, so that a machine without a network hears of it in seconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import huggingface_hub
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HTTPError, RepositoryNotFoundError

from zgcore.errors import WeightsError
from zgcore.manifest import sha256

if TYPE_CHECKING:
    from collections.abc import Callable

TIMEOUT_SECONDS = 5.0
_SHA256 = re.compile(r"[0-9a-f]{64}")


class HubUnreachable(WeightsError):
    """The hub cannot be asked: no network, offline mode, or something else answers in its place."""


class HubFileAbsent(WeightsError):
    """The hub was asked and has no such file."""


@dataclass(frozen=True)
class HubFile:
    """What the hub says of a file.

    commit: the version it belongs to. size: bytes. sha256: 64 hex digits; None for small files,
    which have no published sum.
    """

    commit: str
    size: int
    sha256: str | None


def cached(repo: str, file: str, revision: str | None = None) -> Path | None:
    """The file in the hub's local cache, if it is there. Never asks the network."""
    found = huggingface_hub.try_to_load_from_cache(repo, file, revision=revision)
    return Path(found) if isinstance(found, str) else None


def cached_sha256(path: Path) -> str | None:
    """The sum the hub published for a cached file: the cache names large files by it."""
    name = path.resolve().name
    return name if _SHA256.fullmatch(name) else None


def ask(repo: str, file: str, revision: str | None = None) -> HubFile:
    """Ask the hub about a file. Raises HubUnreachable or HubFileAbsent within seconds."""
    url = huggingface_hub.hf_hub_url(repo, file, revision=revision)
    try:
        found = huggingface_hub.get_hf_file_metadata(url, timeout=TIMEOUT_SECONDS)
    except GatedRepoError:
        raise HubFileAbsent(f"{repo} asks for its terms to be accepted and for a hub login first") from None
    except (EntryNotFoundError, RepositoryNotFoundError):
        raise HubFileAbsent(f"the hub has no {file} in {repo}") from None
    except (HTTPError, OSError) as error:
        raise HubUnreachable(_reason(error)) from None
    if found.commit_hash is None or found.etag is None or found.size is None:
        raise HubUnreachable("what answers at the hub's address is not the hub")
    return HubFile(found.commit_hash, found.size, found.etag if _SHA256.fullmatch(found.etag) else None)


def exists(repo: str, file: str, revision: str) -> bool:
    """Whether the hub, or the cache, has the file. Raises HubUnreachable."""
    if cached(repo, file, revision) is not None:
        return True
    try:
        ask(repo, file, revision)
    except HubFileAbsent:
        return False
    return True


def fetch(repo: str, file: str, revision: str | None = None) -> Path:
    """The file in the local cache, downloaded if it is not there yet. Raises HubUnreachable or HubFileAbsent."""
    if (found := cached(repo, file, revision)) is not None:
        return found
    said = ask(repo, file, revision)
    path = _download(repo, file, revision)  # by the name asked for, so that the cache knows which version it stands for
    if said.sha256 not in (None, sha256(path)):
        path.resolve().unlink()
        raise WeightsError(f"{file} of {repo} did not arrive as the hub has it (SHA-256); try again")
    return path


def download_to(folder: Path, repo: str, file: str, said: HubFile, progress: Callable[[int], None]) -> Path:
    """Download into `folder`, going on where an earlier attempt stopped; `progress` gets bytes as they come."""
    return _download(repo, file, said.commit, local_dir=folder, tqdm_class=_reporter(progress))


def _download(repo: str, file: str, revision: str | None, **options: Any) -> Path:
    try:
        return Path(huggingface_hub.hf_hub_download(repo, file, revision=revision, **options))
    except HTTPError as error:
        raise HubUnreachable(_reason(error)) from None
    except OSError as error:
        if error.errno is not None:  # a full disk, a folder that must not be written
            raise WeightsError(f"{file} cannot be stored: {error.strerror}: {error.filename}") from None
        raise HubUnreachable(_reason(error)) from None


def _reporter(progress: Callable[[int], None]) -> type:
    """A progress bar for the hub's client that shows nothing and hands its numbers on."""
    from tqdm import tqdm

    class Reporter(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)  # the hub's own label of its bars
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n: float | None = 1) -> None:
            progress(int(n or 0))

    return Reporter


def _reason(error: BaseException) -> str:
    """The first line of what went wrong underneath."""
    if error.__cause__ is not None and isinstance(error.__cause__, HTTPError | OSError):
        error = error.__cause__
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
