"""Questions and answers of Label Studio's API: in parts that are not too large, and of the kind they should be."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ls_backend.addresses import FetchError, Url
from ls_backend.pinned_http import TooLarge, basic_authorization

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ls_backend.settings import BasicAuth

T = TypeVar("T")

ITEMS_A_REQUEST: Final = 1000
BYTES_A_REQUEST: Final = 32_000_000


def small_enough(ask: Callable[[int], T], size: int) -> tuple[T, int]:
    """What `ask` gives for `size` items, or for half as many until the answer is within the limit; and the size.

    Raises FetchError where one alone is above it.
    """
    while True:
        try:
            return ask(size), size
        except TooLarge as error:
            if size == 1:
                raise FetchError(f"Label Studio's answer for one task is too large to read: {error}") from None
            size //= 2


def request_bodies(items: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, bytes]]:
    """JSON lists of items, with how many each holds; in order, none much larger than a request may be."""
    part: list[str] = []
    size = 0
    for item in items:
        text = json.dumps(item)
        if part and (len(part) == ITEMS_A_REQUEST or size + len(text) > BYTES_A_REQUEST):
            yield len(part), f"[{','.join(part)}]".encode()
            part, size = [], 0
        part.append(text)
        size += len(text)
    if part:
        yield len(part), f"[{','.join(part)}]".encode()


def as_object(answer: Any) -> dict[str, Any]:
    """An answer that must be a JSON object. Raises FetchError."""
    if not isinstance(answer, dict):
        raise FetchError("Label Studio's answer is not what its API gives; check label_studio_url")
    return answer


def as_objects(answer: Any) -> list[dict[str, Any]]:
    """An answer that must be a list of JSON objects. Raises FetchError."""
    if not isinstance(answer, list) or not all(isinstance(one, dict) for one in answer):
        raise FetchError("Label Studio's answer is not the list that its API gives; check label_studio_url")
    return answer


def same_address(one: Any, other: str) -> bool:
    """Whether two addresses are the same however they are written."""
    try:
        return Url.parse(str(one)).text.rstrip("/") == Url.parse(other).text.rstrip("/")
    except ValueError:
        return False


def at_address(entries: Iterable[dict[str, Any]], url: str) -> list[dict[str, Any]]:
    """Those ML backends or webhooks that have an address, however it is written."""
    return [entry for entry in entries if same_address(entry.get("url"), url)]


def without_markup(words: str) -> str:
    """What Label Studio says, without the links it puts into it."""
    return re.sub(r"<[^>]*>", "", words)


def webhook_headers(hook: Mapping[str, Any], auth: BasicAuth | None) -> dict[str, Any]:
    """The headers that a webhook needs to get past the backend's password; others that it has are kept.

    auth: None where the backend asks for none, which is no reason to take away what a proxy may want.
    """
    present = hook.get("headers")
    kept = dict(present) if isinstance(present, dict) else {}
    if auth is None:
        return kept
    others = {name: value for name, value in kept.items() if name.lower() != "authorization"}
    return {**others, **basic_authorization(auth.user, auth.password.reveal())}
