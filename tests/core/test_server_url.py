"""Which hosts are this machine."""

import pytest

from histfs.core.server_url import is_loopback


@pytest.mark.parametrize(
    "host", ["localhost", "LocalHost", "localhost.", "127.0.0.1", "127.255.0.9", "::1",
             "::ffff:127.0.0.1"],
)  # fmt: skip
def test_names_and_addresses_of_this_machine_are_loopback(host):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["", "localhost.example.com", "127.0.0.1.example.com", "127.example.com", "127.1",
             "0.0.0.0", "::", "10.0.0.1", "example.com", "::2", "::ffff:10.0.0.1"],
)  # fmt: skip
def test_hosts_that_only_look_like_it_are_not(host):
    assert not is_loopback(host)
