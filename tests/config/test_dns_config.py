"""Which resolvers are asked, and what is no resolver."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from supportrelay.config.dns import DnsConfig


@pytest.mark.parametrize(
    ("written", "endpoint"),
    [
        ("192.0.2.53", ("192.0.2.53", 53)),
        ("127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("2001:DB8::53", ("2001:db8::53", 53)),
        ("[::1]:5353", ("::1", 5353)),
        ("[::1]", ("::1", 53)),
    ],
)
def test_a_server_is_an_address_with_or_without_a_port(written: str, endpoint: tuple[str, int]) -> None:
    assert DnsConfig(servers=(written,)).endpoints == (endpoint,)


@pytest.mark.parametrize("written", ["", "dns.example", "192.0.2.53:0", "192.0.2.53:99999", "[::1]:x", "1.2.3", "[::1"])
def test_a_name_is_no_server(written: str) -> None:
    with pytest.raises(ValidationError, match="must be"):
        DnsConfig(servers=(written,))


def test_without_servers_the_system_says_whom_to_ask() -> None:
    assert (DnsConfig().endpoints, DnsConfig().timeout) == ((), timedelta(seconds=3))
