"""The host that is validated is the host that is connected to."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import example, given
from hypothesis import strategies as st
from urllib3 import PoolManager
from urllib3.util import parse_url

from histfs.core.secret import Secret
from histfs.core.server_url import parse_server_url
from histfs.sources.elevenlabs.http_client import HttpClient

PORTS = {"http": 80, "https": 443}

pieces = st.sampled_from(
    ["http", "https", "HTTP", "://", ":", "/", "//", "\\", "@", "?", "#", "%", "%2e", "%00", "..",
     ".", "-", "_", "[", "]", "::", "::1", "[::1]", "[::ffff:127.0.0.1]", "%25eth0", "localhost",
     "127.0.0.1", "127.1", "0", "0x7f", "api.elevenlabs.io", "evil", "Host", "xn--bcher-kva", "ü",
     "\u2044", "\uff0e", "\u3002", "\t", "\n", " ", "\0", "\u200b", "80", "443", "0", "65535",
     "65536", ";", "&", "+", "~", "(", "*", "v1"]
)  # fmt: skip
urls = st.one_of(
    st.text(),
    st.lists(pieces, max_size=9).map("".join),
    st.lists(pieces, max_size=7).map(lambda some: "https://" + "".join(some)),
    st.from_regex(
        r"https?://([a-zA-Z0-9._-]{1,12}|\[[0-9a-f:.]{2,12}\])(:[0-9]{1,5})?(/[!-~]{0,5}){0,3}",
        fullmatch=True,
    ),
)


@given(urls)
@example("https://0\\")
@example("http://localhost.:80/")
@example("http://[::FFFF:127.0.0.1]:8080/a/b")
@example("https://api.elevenlabs.io@evil")
@example("https://api.elevenlabs.io:443/;a=b&c")
def test_what_is_accepted_is_read_alike_and_connected_to(text):
    try:
        url = parse_server_url(text)
    except ValueError:
        return
    assert parse_server_url(str(url)) == url
    read = parse_url(str(url))
    bare = (read.host or "").strip("[]")
    assert (read.scheme, bare, read.port, read.path or "") == (*url[:3], url.path)
    assert read.auth is read.query is read.fragment is None

    request = requests.PreparedRequest()
    request.prepare_url(str(url) + "/v1/history", {"page_size": 1})
    assert request.path_url == f"{url.path}/v1/history?page_size=1"
    assert request.url is not None
    # Older versions of requests connect to what urllib3 reads, newer ones to what Python does.
    pool = PoolManager().connection_from_url(request.url)
    assert (pool.scheme, pool.host.strip("[]")) == (url.scheme, url.host)
    assert pool.port == (url.port or PORTS[url.scheme])
    split = urlsplit(request.url)
    assert (split.scheme, split.hostname, split.port) == url[:3]


def test_what_nobody_can_read_alike_makes_no_connections():
    with pytest.raises(ValueError, match="its host is a number"):
        HttpClient("https://0", Secret("sk_key"), 1, 1)
