"""Where mail comes in: what fits together, what is refused, and a next hop that is ourselves (RELIABILITY C09)."""

import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from supportrelay.bootstrap_listen import bind_listeners, limits_of, remove_paths
from supportrelay.config import Config, check_ports, diff_needing_restart, load
from supportrelay.core.envelope import Role
from supportrelay.core.errors import ConfigError, InputError
from supportrelay.edge.smtp_in import Limits

TLS = Path(__file__).parent / "tls"
SMALLEST = """\
addresses:
  - name: support
    address: support@company.example
    sender: {address: relay@company.example}
    allmember: [everybody@company.example]
internal_domains: [company.example]
admins: [it@company.example]
hostname: relay.company.example
"""
OUTBOX = "outbound: {outbox: true}\n"
PAIR = f"cert: {TLS}/cert.pem, key: {TLS}/key.pem"


@pytest.fixture
def configured(tmp_path: Path) -> Callable[[str], Config]:
    def put(text: str) -> Config:
        file = tmp_path / "supportrelay.yaml"
        file.write_text(SMALLEST + text, "utf-8")
        return load(file, {})

    return put


def own_addresses() -> list[str]:
    """What this machine is called: loopback, all of it, and what its interfaces have."""
    found = [one.address for many in psutil.net_if_addrs().values() for one in many if "." in one.address]
    return ["127.0.0.1", "127.0.0.9", "localhost", "0.0.0.0", "relay.company.example", *found]


@pytest.mark.parametrize("host", own_addresses())
def test_c09_a_next_hop_that_is_ourselves_is_refused(configured: Callable[[str], Config], host: str) -> None:
    text = f"listen: [{{host: 0.0.0.0, port: 2525}}]\noutbound: {{host: '{host}', port: 2525, tls: none}}\n"

    with pytest.raises(ConfigError, match="mail would go round in a circle"):
        configured(text)
    assert configured(text.replace("port: 2525, tls", "port: 2526, tls")).outbound[0].port == 2526
    assert configured(text.replace(f"'{host}'", "192.0.2.77")).outbound[0].host == "192.0.2.77"


def test_every_kind_of_listener_is_read(configured: Callable[[str], Config], tmp_path: Path) -> None:
    config = configured(
        OUTBOX + "listen:\n"
        "  - {port: 25, proxy_from: [192.0.2.5, '2001:db8::/64']}\n"
        f"  - {{port: 465, role: submission, tls: {{{PAIR}, implicit: true}}}}\n"
        "  - {role: lmtp, path: lmtp.sock}\n"
        "  - {role: lmtp, host: 127.0.0.1, port: 24}\n"
    )

    assert [one.role for one in config.listen] == [Role.MX, Role.SUBMISSION, Role.LMTP, Role.LMTP]
    assert [one.place for one in config.listen] == [
        ("0.0.0.0", 25),
        ("0.0.0.0", 465),
        (str(tmp_path / "lmtp.sock"), 0),
        ("127.0.0.1", 24),
    ]
    assert [str(one) for one in config.listen[0].proxy_from] == ["192.0.2.5/32", "2001:db8::/64"]
    assert config.listen[1].tls
    assert config.listen[1].tls.implicit


@pytest.mark.parametrize(
    ("listen", "told"),
    [
        ("{role: lmtp}", "lmtp needs a path or a port other than 25"),
        ("{role: mx, path: /run/x}", "is for role lmtp"),
        ("{role: lmtp, path: /run/x, port: 24}", "takes the place of host and port"),
        ("{role: lmtp, path: /run/x, proxy_from: [192.0.2.5]}", "has neither proxy_from nor tls"),
        ("{role: lmtp, path: /run/x}, {role: lmtp, path: /run/x}", "has this path already"),
        ("{role: imap}", "listen[0].role"),
        ("{proxy_from: [192.0.2.5/24]}", "the network is 192.0.2.0/24"),
    ],
)
def test_what_does_not_fit_together_is_told(configured: Callable[[str], Config], listen: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(f"{OUTBOX}listen: [{listen}]\n")

    assert told in str(caught.value)


def test_a_socket_in_no_folder_is_told(configured: Callable[[str], Config], tmp_path: Path) -> None:
    config = configured(OUTBOX + "listen: [{role: lmtp, path: none/lmtp.sock}]\nweb: {port: 28081}\n")

    assert [line.partition(": ")[2] for line in check_ports(config)] == [
        f"listen[0].path: there is no folder {tmp_path}/none"
    ]


def test_limits_are_those_of_the_listener_unless_they_are_set(configured: Callable[[str], Config]) -> None:
    assert limits_of(configured(OUTBOX)) == Limits()
    text = "limits: {connections: 2000, connections_per_client: 0, connections_per_minute: 600, idle: 30s, errors: 3}\n"
    limits = limits_of(configured(OUTBOX + text))
    assert (limits.connections, limits.connections_per_client, limits.connections_per_minute) == (2000, 0, 600)
    assert (limits.idle_s, limits.error_points) == (30, 15)
    with pytest.raises(ConfigError, match=r"limits\.recipients"):
        configured(OUTBOX + "limits: {recipients: 99}\n")


def test_a_new_certificate_needs_no_restart_and_a_new_kind_of_tls_does(configured: Callable[[str], Config]) -> None:
    def with_tls(more: str) -> Config:
        return configured(f"{OUTBOX}listen: [{{port: 465, tls: {{{PAIR}{more}}}}}]\n")

    plain, implicit = with_tls(""), with_tls(", implicit: true")
    assert diff_needing_restart(plain, with_tls("")) == []
    assert diff_needing_restart(plain, implicit) == ["listen"]
    assert diff_needing_restart(
        plain, plain.model_copy(update={"limits": configured(OUTBOX + "limits: {idle: 1m}\n").limits})
    ) == ["limits"]
    assert configured(OUTBOX).limits.idle == timedelta(minutes=5)


def test_a_socket_left_behind_is_taken_and_one_in_use_is_not(
    configured: Callable[[str], Config], tmp_path: Path
) -> None:
    """A daemon that was killed leaves its path; two daemons on one path would share the mail."""
    config = configured(OUTBOX + "listen: [{role: lmtp, path: lmtp.sock}]\nworkers: 2\n")
    path = tmp_path / "lmtp.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()

    (first,), (second,) = bind_listeners(config)
    assert first.socket is second.socket, "all workers accept from one socket"
    assert first.printed == f"{path} lmtp"
    assert path.stat().st_mode & 0o777 == 0o666
    first.socket.listen()
    with pytest.raises(InputError, match=r"listen on .*lmtp\.sock: Address already in use"):
        bind_listeners(config)
    remove_paths([first, second])
    assert not path.exists()
    first.socket.close()


def test_a_file_that_is_no_socket_stays(configured: Callable[[str], Config], tmp_path: Path) -> None:
    (tmp_path / "lmtp.sock").write_text("a letter")

    with pytest.raises(InputError, match="Address already in use"):
        bind_listeners(configured(OUTBOX + "listen: [{role: lmtp, path: lmtp.sock}]\n"))
    assert (tmp_path / "lmtp.sock").read_text() == "a letter"
