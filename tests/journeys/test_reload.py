"""SIGHUP under load: what is configured changes between two mails, and no session is lost."""

import smtplib
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from journeys.companies import COMPANIES
from journeys.conftest import desk_config
from journeys.relay import STRANGER, Relay, free_port, mail
from journeys.traffic import SUPPORT, Traffic, arrivals, customer, is_own_mail, message_id_of, reload
from smtp_sink import ThreadedSink

ANN, BEN, BOSS = "ann@staff.test", "ben@staff.test", "boss@staff.test"
ALIAS = "neu@desk.test"
VIP = {"name": "vip", "when": {"subject": "*vip*"}, "then": {"also_to": [BOSS]}}
WRONG_EXAMPLE = {
    "mail": f"From: {customer(0)}\nTo: {SUPPORT}\nSubject: nothing special\n\nHello",
    "expect": {"rule": "vip"},
}


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two folders, each with ``crt`` and ``key``."""
    folders = [tmp_path_factory.mktemp("tls") for _ in range(2)]
    for folder in folders:
        subprocess.run(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
            f" -keyout {folder}/key -out {folder}/crt".split(),
            check=True,
            capture_output=True,
        )
    return folders


@pytest.fixture
def sink() -> Iterator[ThreadedSink]:
    with ThreadedSink() as sink:
        sink.settings.sets_aside = is_own_mail
        yield sink


@pytest.fixture
def relay(sink: ThreadedSink, certificates: list[Path], tmp_path: Path) -> Iterator[Relay]:
    config = desk_config(sink.port)
    config["listen"] = [{"host": "127.0.0.1", "port": free_port(), "role": "mx", "tls": tls(certificates[0])}]
    relay = Relay(tmp_path, config, COMPANIES)
    relay.port = config["listen"][0]["port"]
    relay.start()
    yield relay
    assert relay.stop() == 0


def tls(folder: Path) -> dict[str, str]:
    return {"cert": str(folder / "crt"), "key": str(folder / "key")}


def der(folder: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert((folder / "crt").read_text())


class Session:
    """A session in TLS."""

    def __init__(self, relay: Relay) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.client = smtplib.SMTP("127.0.0.1", relay.port, source_address=(STRANGER, 0), timeout=20)
        self.client.starttls(context=context)
        assert isinstance(self.client.sock, ssl.SSLSocket)
        self.certificate = self.client.sock.getpeercert(binary_form=True)
        self.client.ehlo()

    def takes(self, address: str) -> bool:
        """What it says to RCPT now."""
        self.client.mail(customer(0))
        code, _ = self.client.rcpt(address)
        self.client.rset()
        assert code in {250, 550}
        return code == 250

    def send(self, number: int, subject: str) -> str:
        """Send a mail of that customer; its Message-ID."""
        message_id = f"<reload.{subject.replace(' ', '-')}@mail.example>"
        octets = mail(sender=customer(number), to=SUPPORT, subject=subject, message_id=message_id)
        assert not self.client.sendmail(customer(number), [SUPPORT], octets)
        return message_id


@pytest.fixture
def opened(relay: Relay) -> Iterator[Callable[[], Session]]:
    """Opens sessions, and closes what is left of them."""
    sessions: list[Session] = []

    def open_session() -> Session:
        sessions.append(Session(relay))
        return sessions[-1]

    yield open_session
    for session in sessions:
        session.client.close()


def readers(relay: Relay, sink: ThreadedSink, message_id: str) -> set[str]:
    """Who got a mail, once it is delivered."""
    deadline = time.monotonic() + 10
    while relay.ask("queue.show", queue_id=message_id)["state"] != "delivered":
        assert time.monotonic() < deadline, "not delivered"
        time.sleep(0.02)
    return {r for m in list(sink.messages) if message_id_of(m.octets) == message_id for r in m.recipients}


def refused(relay: Relay, change: dict[str, Any]) -> str:
    """Reload a configuration with a mistake; what the log says of it."""
    config, offset = relay.config, relay.log_path.stat().st_size
    relay.config = config | change
    relay.write_config()
    relay.config = config
    assert relay.process is not None
    psutil.Process(relay.process.pid).send_signal(1)
    relay.wait_for_log('"config.refused"', offset)
    return relay.log_path.read_text()[offset:]


@pytest.mark.slow
def test_everything_that_may_change_while_serving_does_without_a_lost_session(
    relay: Relay, sink: ThreadedSink, certificates: list[Path], opened: Callable[[], Session]
) -> None:
    before = opened()
    assert before.certificate == der(certificates[0])
    assert not before.takes(ALIAS)
    with Traffic(relay, "load", 100_000, senders=3, keeps_connections=True) as traffic:
        traffic.wait_for(20)
        assert readers(relay, sink, before.send(1, "owned by ann")) == {ANN}
        relay.ask("crm.owners", deal="acme1 deal", owners=[BEN])
        assert readers(relay, sink, before.send(1, "owned by ben")) == {BEN}

        relay.config["rules"] = [VIP, *relay.config["rules"]]
        relay.write_config()
        reload(relay)
        assert readers(relay, sink, before.send(2, "a vip asks")) == {ANN, BOSS}

        relay.config["addresses"][0]["aliases"] = [ALIAS]
        relay.write_config()
        reload(relay)
        assert before.takes(ALIAS)
        assert not before.takes("help@desk.test"), "the alias that is gone"

        relay.config["listen"][0]["tls"] = tls(certificates[1])
        relay.write_config()
        reload(relay)
        after = opened()
        assert after.certificate == der(certificates[1])
        assert readers(relay, sink, before.send(3, "the old session goes on")) == {ANN}
        assert readers(relay, sink, after.send(4, "beside the new one")) == {ANN}
        so_far = len(traffic.accepted)
        traffic.wait_for(so_far + 20)
        traffic.end()
    assert (traffic.refused, traffic.dropped) == ([], [])
    relay.settle(30)
    copies = arrivals(sink.messages)
    assert {copies[one, ANN] + copies[one, BEN] for one in traffic.accepted} == {1}


@pytest.mark.slow
def test_a_file_with_a_mistake_is_reported_and_the_running_configuration_stays(
    relay: Relay, sink: ThreadedSink, certificates: list[Path], opened: Callable[[], Session]
) -> None:
    session = opened()
    with Traffic(relay, "load", 100_000, senders=2, keeps_connections=True) as traffic:
        said = refused(relay, {"no_such_key": True})
        assert "supportrelay.yaml:" in said
        assert "no_such_key" in said

        said = refused(relay, {"rules": [VIP | {"examples": [WRONG_EXAMPLE]}]})
        assert "vip" in said
        assert readers(relay, sink, session.send(2, "a vip asks")) == {ANN}, "a rule whose example fails is not used"

        mismatched = {"cert": str(certificates[1] / "crt"), "key": str(certificates[0] / "key")}
        listen = [relay.config["listen"][0] | {"tls": mismatched}]
        refused(relay, {"listen": listen})
        assert opened().certificate == der(certificates[0])

        traffic.end()
    assert (traffic.refused, traffic.dropped) == ([], [])

    # A worker that starts now starts with what is in force, not with what stands in the file.
    offset = relay.log_path.stat().st_size
    assert relay.process is not None
    store = str(relay.folder / "state" / "relay.db")
    workers = [
        child
        for child in psutil.Process(relay.process.pid).children()
        if store in {file.path for file in child.open_files()}
    ]
    for worker in workers:
        worker.kill()
    for _ in workers:
        relay.wait_for_log('"listener.opened"', offset)
        offset = relay.log_path.read_bytes().index(b'"listener.opened"', offset) + 1
    new = opened()
    assert new.certificate == der(certificates[0])
    assert new.takes("help@desk.test")

    relay.config["rules"] = [VIP]
    relay.write_config()
    reload(relay)
    assert readers(relay, sink, new.send(5, "a mended file, a vip")) == {ANN, BOSS}
