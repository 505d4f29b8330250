"""What is allowed and probably not meant; ports; certificates; versions."""

import shutil
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from supportrelay.config import Config, check_ports, load, versions, warnings
from supportrelay.config.certificate import valid_until
from supportrelay.core.errors import ConfigError

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


@pytest.fixture
def configured(tmp_path: Path) -> Callable[[str], Config]:
    def put(text: str) -> Config:
        file = tmp_path / "supportrelay.yaml"
        file.write_text(SMALLEST + text, "utf-8")
        return load(file, {})

    return put


@pytest.fixture(autouse=True)
def a_good_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supportrelay.config.advice.old_python", lambda: "")


def texts(config: Config, **said: datetime) -> list[str]:
    return [line.replace(f"{config.path}", "FILE") for line in warnings(config, **said)]


def test_a_good_configuration_has_no_warnings(configured: Callable[[str], Config]) -> None:
    text = OUTBOX + "trusted_networks: [192.0.2.0/24, 192.0.2.7, '2001:db8::/64', 127.0.0.0/8]\n"

    assert texts(configured(text)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "trusted_networks: [10.0.0.0/8]\n", "trusted_networks[0]: 10.0.0.0/8 is wider than /24", id="wide"
        ),
        pytest.param("trusted_networks: [192.0.0.0/23]\n", "192.0.0.0/23 is wider than /24", id="one bit too wide"),
        pytest.param(
            "listen: [{port: 2525, proxy_from: [0.0.0.0/0]}]\n",
            "listen[0].proxy_from[0]: 0.0.0.0/0 is wider than /24: every machine in it may say",
            id="proxies everywhere",
        ),
        pytest.param(
            "gateways: [{networks: ['::/0'], authserv_id: mx.example}]\n",
            "gateways[0].networks[0]: ::/0 is nearly everybody",
            id="gateways everywhere",
        ),
        pytest.param("trusted_networks: ['2001:db8::/63']\n", "2001:db8::/63 is wider than /64", id="wide IPv6"),
        pytest.param(
            "listen: [{port: 587, role: submission}]\n", "listen[0].role: nobody can be proven", id="submission"
        ),
    ],
)
def test_what_is_probably_not_meant_is_named_with_its_line(
    configured: Callable[[str], Config], text: str, expected: str
) -> None:
    found = texts(configured(OUTBOX + text))

    assert len(found) == 1
    assert expected in found[0]
    assert found[0].startswith("FILE:10:")


def test_reverse_paths_that_need_care_are_named(configured: Callable[[str], Config], tmp_path: Path) -> None:
    file = tmp_path / "supportrelay.yaml"
    sender = SMALLEST.replace("    allmember", "    reverse_path: sender\n    allmember") + OUTBOX
    own_domain = SMALLEST.replace("    allmember", "    bounce_address: 'b-{token}@b.example'\n    allmember") + OUTBOX

    file.write_text(sender)
    assert "relay@company.example: it must deliver to this relay" in texts(load(file, {}))[0]
    file.write_text(own_domain)
    assert "b.example must reach this relay" in texts(load(file, {}))[0]


def test_a_password_that_everybody_can_read_is_named(configured: Callable[[str], Config]) -> None:
    config = configured("outbound: {host: smtp.company.example, auth: {user: a, password: hunter2}}\n")
    assert "hunter2" not in texts(config)[0]
    assert "outbound.auth.password: this file can be read by every user" in texts(config)[0]

    config.path.chmod(0o600)
    assert texts(config) == []


def test_a_name_without_a_domain_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text((SMALLEST + OUTBOX).replace("relay.company.example", "relay"))

    assert "hostname: relay is not a full name" in texts(load(file, {}))[0]


LISTEN = "listen: [{{host: 127.0.0.1, port: 2525, tls: {{cert: {}, key: {}}}}}]\n"


def test_a_certificate_and_its_key_load(configured: Callable[[str], Config]) -> None:
    config = configured(OUTBOX + LISTEN.format(TLS / "cert.pem", TLS / "key.pem"))

    assert config.listen[0].tls
    assert config.listen[0].tls.cert == TLS / "cert.pem"
    assert texts(config) == []


@pytest.mark.parametrize(
    ("cert", "key", "expected"),
    [
        pytest.param(
            "cert.pem", "other-key.pem", "listen[0].tls.key: {0}/other-key.pem: does not belong to", id="other key"
        ),
        pytest.param(
            "key.pem", "key.pem", "listen[0].tls.cert: {0}/key.pem and {0}/key.pem: no certificate", id="no cert"
        ),
        pytest.param("cert.pem", "none.pem", "listen[0].tls.key: {0}/none.pem: there is no such file", id="no file"),
    ],
)
def test_a_pair_that_does_not_work_is_an_error(
    configured: Callable[[str], Config], cert: str, key: str, expected: str
) -> None:
    """RELIABILITY F33: on reload an error keeps the old pair."""
    with pytest.raises(ConfigError) as caught:
        configured(OUTBOX + LISTEN.format(TLS / cert, TLS / key))

    assert len(caught.value.problems) == 1
    assert expected.format(TLS) in caught.value.problems[0]


def test_a_certificate_is_warned_about_14_days_ahead_and_never_refused(configured: Callable[[str], Config]) -> None:
    """RELIABILITY F33: an own certificate that expired does not stop the intake."""
    config = configured(OUTBOX + LISTEN.format(TLS / "cert.pem", TLS / "key.pem"))
    until = valid_until(TLS / "cert.pem")

    assert until == datetime(2109, 1, 10, 23, 15, 30, tzinfo=UTC)
    assert texts(config, now=until - timedelta(days=15)) == []
    assert "expires on 2109-01-10 23:15 UTC" in texts(config, now=until - timedelta(days=13))[0]
    assert "expired on" in texts(config, now=until + timedelta(seconds=1))[0]


def test_no_certificate_has_no_end(tmp_path: Path) -> None:
    (tmp_path / "cut.pem").write_bytes((TLS / "cert.pem").read_bytes().replace(b"MIIB", b"MAAB"))

    assert valid_until(TLS / "key.pem") is None
    assert valid_until(tmp_path / "none.pem") is None
    assert valid_until(tmp_path / "cut.pem") is None


def test_relative_names_of_certificates_are_relative_to_the_file(
    configured: Callable[[str], Config], tmp_path: Path
) -> None:
    shutil.copytree(TLS, tmp_path / "tls")

    assert texts(configured(OUTBOX + LISTEN.format("tls/cert.pem", "tls/key.pem"))) == []


def test_ports_in_use_are_named_with_their_line(configured: Callable[[str], Config]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy, socket.create_server(("127.0.0.1", 0)) as spare:
        taken, free = busy.getsockname()[1], spare.getsockname()[1]
        spare.close()
        config = configured(
            f"{OUTBOX}listen: [{{host: 127.0.0.1, port: {taken}}}, {{host: 127.0.0.1, port: {free}}}]\n"
            "web: {host: 192.0.2.1}\n"
        )

        assert [line.replace(str(config.path), "FILE") for line in check_ports(config)] == [
            f"FILE:10:34: listen[0].port: port {taken} of 127.0.0.1 is in use by another program",
            "FILE:11:13: web.host: 192.0.2.1 is no address of this machine",
        ]


def test_a_port_shared_by_a_running_daemon_is_in_use_too(configured: Callable[[str], Config]) -> None:
    with socket.socket() as daemon:
        daemon.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        daemon.bind(("127.0.0.1", 0))
        daemon.listen()
        config = configured(
            f"{OUTBOX}listen: [{{host: 127.0.0.1, port: {daemon.getsockname()[1]}}}]\nweb: {{port: 1}}\n"
        )

        assert "is in use" in check_ports(config)[0]


def test_old_libraries_are_refused_and_an_old_python_is_named(
    monkeypatch: pytest.MonkeyPatch, configured: Callable[[str], Config]
) -> None:
    """RELIABILITY C64."""
    assert versions.refused_versions() == []
    assert versions.old_python((3, 11, 16)) == ""
    assert versions.old_python((3, 12, 1)) == ""
    assert "3.11.7 lacks security fixes" in versions.old_python((3, 11, 7))

    monkeypatch.setattr("importlib.metadata.version", lambda _name: "1.4.5")
    versions.refused_versions.cache_clear()
    try:
        with pytest.raises(ConfigError, match=r"aiosmtpd 1\.4\.5 is installed, 1\.4\.6 or later"):
            configured(OUTBOX)
    finally:
        versions.refused_versions.cache_clear()
