"""Death in the middle of work: nothing that got 250 is lost, nothing waits, nothing is sent twice without need."""

import contextlib
import signal
import smtplib
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from journeys.companies import COMPANIES
from journeys.conftest import desk_config
from journeys.relay import STRANGER, Relay, mail
from journeys.traffic import SUPPORT, Traffic, arrivals, customer, message_id_of, worker_of
from smtp_sink import ThreadedSink

ANN = "ann@staff.test"
WAITS_AT_MOST_S = 10.0


@pytest.fixture
def sink() -> Iterator[ThreadedSink]:
    with ThreadedSink() as sink:
        yield sink


@pytest.fixture
def relay(sink: ThreadedSink, tmp_path: Path) -> Iterator[Relay]:
    relay = Relay(tmp_path, desk_config(sink.port), COMPANIES)
    relay.start()
    yield relay
    if relay.process is not None:
        relay.kill()


def wait_until(is_so: Callable[[], bool], what: str, timeout: float = 10.0) -> None:
    deadline = time.monotonic() + timeout
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def children(relay: Relay) -> list[psutil.Process]:
    assert relay.process is not None
    return psutil.Process(relay.process.pid).children()


def workers(relay: Relay) -> list[psutil.Process]:
    """Only workers have the store open."""
    store = str(relay.folder / "state" / "relay.db")
    found = []
    for child in children(relay):
        with contextlib.suppress(psutil.NoSuchProcess):
            if store in {file.path for file in child.open_files()}:
                found.append(child)
    return found


def lost_attempts(relay: Relay, message_id: str) -> int:
    """How many attempts for this mail had a beginning and no end."""
    life = relay.ask("mail.trace", id=message_id)
    lives = [life, *life["others"]]
    return sum(change["what"] == "delivery.lost" for one in lives for change in one["changes"])


def assert_all_arrived(relay: Relay, sink: ThreadedSink, traffic: Traffic) -> Counter[tuple[str, str]]:
    """Every mail once; more only for deliveries whose attempt was cut off. One ticket each. Returns the arrivals."""
    assert not traffic.refused
    relay.settle(30)
    counted = arrivals(sink.messages)
    missing = [one for one in traffic.ids if not counted[one, ANN]]
    assert not missing, f"{len(missing)} lost: {missing[:5]}"
    twice = {one: times for (one, _), times in counted.items() if times > 1}
    unexplained = {one: times for one, times in twice.items() if times > 1 + lost_attempts(relay, one)}
    assert not unexplained, f"sent again without need: {unexplained}"
    tickets = Counter(ticket["subject"] for ticket in relay.tickets())
    assert len(tickets) == len(traffic.ids)
    assert set(tickets.values()) == {1}
    return counted


@pytest.mark.slow
def test_a_killed_daemon_loses_nothing_and_goes_on_at_once(relay: Relay, sink: ThreadedSink) -> None:
    """RELIABILITY F03, F07; `make soak` goes on with it for ten minutes."""
    sink.delay("dot", 0.05)  # so that deliveries are under way at each death
    restarts: list[tuple[float, float]] = []
    with Traffic(relay, "killed", 200) as traffic:
        for accepted in (40, 90, 140):
            traffic.wait_for(accepted)
            family = children(relay)
            assert len(family) == 3, "two workers and the web process"
            relay.kill()
            killed_at = time.time()
            psutil.wait_procs(family, timeout=10)
            assert not any(one.is_running() for one in family), "children outlived the parent"
            relay.start()
            restarts.append((killed_at, time.time()))
    counted = assert_all_arrived(relay, sink, traffic)
    assert any(times > 1 for times in counted.values()) or sink.unanswered, "no delivery was under way at any death"
    first: dict[str, float] = {}
    for message in sink.messages:
        first.setdefault(message_id_of(message.octets), message.when)
    for message_id, accepted_at in traffic.accepted.items():
        since = max([accepted_at, *(up for killed_at, up in restarts if killed_at >= accepted_at)][:2])
        assert first[message_id] - since < WAITS_AT_MOST_S, message_id


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_its_work_taken_over(relay: Relay, sink: ThreadedSink) -> None:
    """RELIABILITY F03."""
    sink.delay("dot", 0.2)
    with Traffic(relay, "worker", 120) as traffic:
        for accepted, position in ((20, 0), (60, 1)):
            traffic.wait_for(accepted)
            before = workers(relay)
            assert len(before) == 2
            killed = before[position]
            killed.kill()
            wait_until(partial(_is_replaced, relay, killed), "no new worker")
    started = time.monotonic()
    counted = assert_all_arrived(relay, sink, traffic)
    assert time.monotonic() - started < WAITS_AT_MOST_S, "the dead worker's leases were waited for"
    assert any(times > 1 for times in counted.values()), "no delivery was under way at any death"
    assert relay.log_path.read_text().count('"process.ended"') == 2
    assert relay.stop() == 0


@pytest.mark.slow
def test_sigterm_under_load_finishes_what_was_begun_and_sends_nothing_twice(relay: Relay, sink: ThreadedSink) -> None:
    """RELIABILITY F08: in the middle of DATA, and in the middle of sending."""
    sink.delay("dot", 0.3)
    idle = smtplib.SMTP("127.0.0.1", relay.port, source_address=(STRANGER, 0), timeout=20)
    begun = smtplib.SMTP("127.0.0.1", relay.port, source_address=(STRANGER, 0), timeout=20)
    begun.ehlo()
    begun.mail(customer(39))
    begun.rcpt(SUPPORT)
    octets = mail(sender=customer(39), to=SUPPORT, subject="begun", message_id="<begun@mail.example>")
    begun.putcmd("DATA")
    assert begun.getreply()[0] == 354
    begun.send(octets[:100])
    with Traffic(relay, "sigterm", 120, senders=8) as traffic:
        traffic.wait_for(40)
        assert relay.process is not None
        relay.process.send_signal(signal.SIGTERM)
        wait_until(lambda: _is_refused(relay.port), "the listener was not closed at once", 2.0)
        begun.send(octets[100:] + b".\r\n")
        assert begun.getreply()[0] == 250, "what was begun comes to its end"
        assert idle.getreply()[0] == 421
        assert relay.process.wait(30) == 0
        relay.start()
    begun.close()
    idle.close()
    traffic.ids.append("<begun@mail.example>")
    counted = assert_all_arrived(relay, sink, traffic)
    assert set(counted.values()) == {1}


@pytest.mark.slow
def test_a_second_sigterm_does_not_wait_and_loses_nothing(relay: Relay, sink: ThreadedSink) -> None:
    """RELIABILITY F08."""
    sink.delay("dot", 60)
    with Traffic(relay, "hurried", 5):
        pass
    wait_until(lambda: any(line == "DATA" for _, line in sink.commands), "nothing is under way")
    assert relay.process is not None
    relay.process.send_signal(signal.SIGTERM)
    wait_until(lambda: _is_refused(relay.port), "the listener was not closed")
    relay.process.send_signal(signal.SIGTERM)
    assert relay.process.wait(5) == 0
    sink.behave_well()
    relay.start()
    relay.settle()
    counted = arrivals(sink.messages)
    assert all(counted[f"<hurried.{number}@mail.example>", ANN] for number in range(5))


@pytest.mark.slow
def test_a_frozen_worker_loses_its_lease_and_sends_nothing_when_it_wakes(relay: Relay, sink: ThreadedSink) -> None:
    """RELIABILITY F17."""
    message_id = "<frozen@mail.example>"
    sink.delay("rcpt", 1.0)
    with smtplib.SMTP("127.0.0.1", relay.port, source_address=(STRANGER, 0), timeout=20) as client:
        frozen = psutil.Process(worker_of(client))
        client.sendmail(
            customer(1), [SUPPORT], mail(sender=customer(1), to=SUPPORT, subject="frozen", message_id=message_id)
        )
    wait_until(lambda: any(line.startswith("RCPT") for _, line in sink.commands), "nothing is under way")
    frozen.suspend()
    try:
        sink.behave_well()
        sink.wait_for(1, timeout=45)  # leases last 30 s
    finally:
        frozen.resume()
    wait_until(lambda: _spoke_too_late(relay, message_id), "it did not notice")
    relay.settle()
    assert arrivals(sink.messages) == {(message_id, ANN): 1}


def _spoke_too_late(relay: Relay, message_id: str) -> bool:
    """The attempt that lost its lease was ended by its worker; which may be the one that hears commands."""
    return any("too_late" in change["why"] for change in relay.ask("mail.trace", id=message_id)["changes"])


def _is_replaced(relay: Relay, killed: psutil.Process) -> bool:
    return len(found := workers(relay)) == 2 and killed not in found


def _is_refused(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1, source_address=(STRANGER, 0)):
            return False
    except ConnectionRefusedError:
        return True
