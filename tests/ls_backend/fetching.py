"""What tests of fetching share: fetchers that may reach loopback, a photo, and how a refusal is checked."""

from pathlib import Path

import pytest

import zgcore
from ls_backend.fetch import Fetcher, FetchError
from ls_backend.settings import FetchSettings, Settings
from tests.ls_backend.loopback import Loopback

PHOTO = (Path(zgcore.__file__).parent / "samples" / "street.jpg").read_bytes()
LEGACY = "0123456789abcdef0123456789abcdef01234567"


def fetcher(label_studio=None, key=None, table=None, **fetch):
    """A Fetcher; table: names that resolve, else the system's resolver."""
    settings = Settings(label_studio_url=label_studio, label_studio_api_key=key, fetch=FetchSettings(**fetch))
    if table is None:
        return Fetcher(settings)

    def resolve(host, port):
        if host not in table:
            raise OSError(f"no {host}")
        return table[host]

    return Fetcher(settings, resolve)


def loopback_fetcher(**options):
    options.setdefault("allow_networks", ("127.0.0.0/8",))
    return fetcher(**options)


def serve(content):
    return Loopback(lambda request, connection: content)


def refused(subject, reference, match):
    with pytest.raises(FetchError, match=match) as caught:
        subject.fetch(reference)
    return str(caught.value)
