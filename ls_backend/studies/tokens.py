"""Links that let raters in: unguessable, kept as hashes, and written to one private file when they are made.

A link carries its token behind the #, which browsers keep to themselves: it reaches no log, no proxy and no Referer.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import os
import re
import secrets
from typing import TYPE_CHECKING, Final

from ls_backend.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TOKEN_BYTES: Final = 24  # 192 bits
HANDLE_BYTES: Final = 16
ORGANISER: Final = 0  # the number of who may look at the progress; raters count from 1
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{32}")  # TOKEN_BYTES in base64
_PROGRESS: Final = "progress"
_RATER: Final = "rater "


def new_token() -> str:
    """A token of letters, digits, hyphens and underscores, from the operating system's random source."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def hashed(token: str) -> bytes:
    """What is kept of a token. It has 192 random bits: a plain hash of it cannot be searched, and looking one up tells
    by its time nothing about the token.
    """
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def is_hash_of(kept: bytes, token: str) -> bool:
    """Whether this is what is kept of the token; takes the same time whatever differs."""
    return hmac.compare_digest(kept, hashed(token))


def is_token(text: str) -> bool:
    """Whether a text can be a token at all."""
    return _TOKEN.fullmatch(text) is not None


def handle(secret: bytes, rater: int, what: str) -> str:
    """The name under which one rater meets a question or a batch: another one for each rater, and none tells which."""
    return hmac.new(secret, f"{rater} {what}".encode(), hashlib.sha256).hexdigest()[: 2 * HANDLE_BYTES]


def who(number: int) -> str:
    """Whose link it is, as people read it."""
    return _PROGRESS if number == ORGANISER else f"{_RATER}{number}"


def link(base: str, token: str) -> str:
    return f"{base}/#{token}"


def write_links(path: Path, base: str, tokens: Mapping[int, str]) -> None:
    """A CSV of who and link for its owner's eyes only. tokens: by number of the rater, or `ORGANISER`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["who", "link"])
    for number, token in sorted(tokens.items(), key=lambda pair: (pair[0] == ORGANISER, pair[0])):
        writer.writerow([who(number), link(base, token)])
    with atomic_write(path) as handle:
        os.fchmod(handle.fileno(), 0o600)  # before a byte is in it
        handle.write(text.getvalue().encode())


def read_links(path: Path) -> dict[int, str]:
    """The tokens of such a file by number; lines that are none are left out, and no file is an empty one."""
    try:
        rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8"))))
    except (OSError, UnicodeDecodeError, csv.Error):
        return {}
    found = {}
    for name, address in (row for row in rows if len(row) == 2):
        token = address.rpartition("#")[2]
        number = str(ORGANISER) if name == _PROGRESS else name.removeprefix(_RATER)
        if number.isascii() and number.isdigit() and is_token(token):
            found[int(number)] = token
    return found
