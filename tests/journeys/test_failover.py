"""What becomes of copies that the next server refuses, puts off or cannot be asked to take (DESIGN 5)."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from journeys.companies import COMPANIES
from journeys.conftest import desk_config
from journeys.relay import Relay, free_port, mail
from journeys.traffic import SUPPORT, customer, is_own_mail, message_id_of, reload
from smtp_sink import ThreadedSink

ANN, BEN, ALL = "ann@staff.test", "ben@staff.test", "all@desk.test"
PAIR = "kunde@two.example"  # ann and ben own this customer's deal
LATER = "450 4.2.0 come back later"
_numbers = itertools.count()


@pytest.fixture(scope="module")
def open_sink() -> Iterator[ThreadedSink]:
    with ThreadedSink() as sink:
        sink.settings.sets_aside = is_own_mail
        yield sink


@pytest.fixture
def sink(open_sink: ThreadedSink) -> Iterator[ThreadedSink]:
    open_sink.clear()
    yield open_sink
    open_sink.behave_well()


@pytest.fixture(scope="module")
def relay(open_sink: ThreadedSink, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """Failover after the usual hour, so never by time."""
    relay = Relay(tmp_path_factory.mktemp("failover"), desk_config(open_sink.port), COMPANIES)
    relay.start()
    yield relay
    assert relay.stop() == 0


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[dict[str, Any]], Relay]]:
    """Starts a relay with a configuration of its own."""
    relays: list[Relay] = []

    def start(config: dict[str, Any]) -> Relay:
        relays.append(Relay(tmp_path, config, COMPANIES))
        relays[-1].start()
        return relays[-1]

    yield start
    for relay in relays:
        assert relay.stop() == 0


def send(relay: Relay, sender: str = "") -> str:
    """Send a new mail; its Message-ID."""
    number = next(_numbers)
    sender = sender or customer(number)
    message_id = f"<failover.{number}@mail.example>"
    octets = mail(sender=sender, to=SUPPORT, subject=f"failover {number}", message_id=message_id)
    relay.send(octets, sender, [SUPPORT])
    return message_id


def queued(relay: Relay, message_id: str) -> dict[str, Any]:
    """As `queue list --json` shows it."""
    found: list[dict[str, Any]] = relay.ask("queue.list")
    return next(one for one in found if one["message_id"] == message_id)


def copies(relay: Relay, message_id: str) -> dict[str, dict[str, Any]]:
    """Recipient -> its delivery."""
    return {one["recipient"]: one for one in relay.ask("queue.show", queue_id=message_id)["deliveries"]}


def got(sink: ThreadedSink, message_id: str) -> list[str]:
    return sorted(r for m in sink.messages if message_id_of(m.octets) == message_id for r in m.recipients)


def minutes_until(due_at: str) -> float:
    return (datetime.fromisoformat(due_at) - datetime.now(UTC)) / timedelta(minutes=1)


def wait_until(is_so: Callable[[], bool], what: str, timeout: float = 15.0) -> None:
    deadline = time.monotonic() + timeout
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


# -- refused ---------------------------------------------------------------------------------------------------------


def test_a_mail_that_its_only_owner_cannot_get_goes_to_allmember_at_once(relay: Relay, sink: ThreadedSink) -> None:
    sink.refuse("rcpt", "550 5.1.1 nobody here", recipient=ANN)
    message_id = send(relay)
    sink.wait_for(1, timeout=5)
    assert got(sink, message_id) == [ALL]
    relay.settle()
    found = copies(relay, message_id)
    assert (found[ANN]["state"], found[ANN]["last_reply"][:9]) == ("failed", "550 5.1.1")
    assert found[ALL]["state"] == "delivered"
    life = relay.ask("mail.trace", id=message_id)
    assert life["state"] == "delivered"
    ticket = relay.ask("tickets.show", id=life["ticket"])
    for record in (life["changes"], ticket["history"]):
        failover = next(one for one in record if one["what"] == "message.failover")
        assert failover["why"] == {"why": "all_failed", "recipients": [ALL]}
        assert any(one["what"] == "delivery.failed" and one["why"]["recipient"] == ANN for one in record)
    story = relay.run("trace", message_id, "--language", "en").out
    assert "Nobody had got it" in story
    assert ALL in story


def test_a_mail_that_another_owner_got_goes_to_nobody_else(relay: Relay, sink: ThreadedSink) -> None:
    sink.refuse("rcpt", "550 5.1.1 nobody here", recipient=ANN)
    message_id = send(relay, PAIR)
    relay.settle()
    assert got(sink, message_id) == [BEN]
    life = relay.ask("mail.trace", id=message_id)
    assert life["state"] == "delivered"
    history = relay.ask("tickets.show", id=life["ticket"])["history"]
    assert any(one["what"] == "delivery.failed" and one["why"]["recipient"] == ANN for one in history)


def test_a_mail_that_nobody_at_all_can_get_stays_in_sight_and_can_be_tried_again(
    relay: Relay, sink: ThreadedSink
) -> None:
    sink.refuse("rcpt", "550 5.1.1 nobody here")
    message_id = send(relay)
    wait_until(lambda: queued(relay, message_id)["state"] == "dead", "not dead")
    assert {name: one["state"] for name, one in copies(relay, message_id).items()} == {ANN: "failed", ALL: "failed"}
    sink.behave_well()
    relay.ask("queue.retry", queue_id=message_id)
    sink.wait_for(2, timeout=5)
    assert got(sink, message_id) == [ALL, ANN]


# -- put off ---------------------------------------------------------------------------------------------------------


def test_a_deferred_copy_is_shown_and_retry_delivers_it_at_once(relay: Relay, sink: ThreadedSink) -> None:
    sink.refuse("rcpt", LATER, recipient=ANN, times=1)
    message_id = send(relay)
    relay.settle()
    shown = json.loads(relay.run("queue", "list", "--json").out)
    row = next(one for one in shown if one["message_id"] == message_id)
    assert row["state"] == "composed"
    (copy,) = row["deliveries"]
    assert (copy["recipient"], copy["state"], copy["attempts"]) == (ANN, "deferred", 1)
    assert copy["last_reply"] == LATER
    assert 0.9 < minutes_until(copy["due_at"]) < 1.2
    relay.ask("queue.retry", queue_id=row["queue_id"])
    sink.wait_for(1, timeout=3)
    relay.settle()
    assert copies(relay, message_id)[ANN]["attempts"] == 2
    assert got(sink, message_id) == [ANN]


@pytest.mark.parametrize(
    ("phase", "reply"),
    [
        pytest.param("banner", "554 5.7.1 you are on a list", id="banner"),
        pytest.param("ehlo", "550 5.7.1 not you", id="ehlo"),
        pytest.param("mail", "550 5.7.1 this sender may not send", id="mail"),
        pytest.param("rcpt", "550 5.7.60 client does not have permissions to send as this sender", id="send-as"),
        pytest.param("dot", "554 5.2.252 SendAsDenied", id="send-as-denied"),
        pytest.param("dot", "550 5.7.26 unauthenticated", id="unauthenticated"),
        pytest.param("rcpt", "550 5.7.68 tenant", id="tenant"),
        pytest.param("dot", "550 5.4.5 daily limit", id="daily-limit"),
        pytest.param("rcpt", "530 5.7.57 not authenticated to send", id="login-wanted"),
    ],
)
def test_a_refusal_that_is_our_own_fault_is_put_off_with_an_alarm(
    relay: Relay, sink: ThreadedSink, phase: str, reply: str
) -> None:
    sink.close_connections()
    sink.refuse(phase, reply)
    logged = relay.log_path.stat().st_size
    message_id = send(relay)
    relay.settle()
    found = copies(relay, message_id)
    assert list(found) == [ANN], "no failover: nobody else would fare better"
    assert found[ANN]["state"] == "deferred"
    assert reply.split()[1] in found[ANN]["last_reply"]
    assert b'"courier.misconfigured"' in relay.log_path.read_bytes()[logged:]
    sink.behave_well()
    relay.ask("queue.retry", queue_id=message_id)
    sink.wait_for(1, timeout=3)
    assert got(sink, message_id) == [ANN]


def test_hold_release_and_drop_take_effect_at_once(relay: Relay, sink: ThreadedSink) -> None:
    sink.refuse("rcpt", LATER)
    held, dropped, both = send(relay), send(relay), send(relay, PAIR)
    relay.settle()
    relay.ask("queue.hold", queue_id=held)
    assert queued(relay, held)["state"] == "held"
    assert copies(relay, held)[ANN]["due_at"] is None
    relay.ask("queue.drop", queue_id=dropped)
    relay.ask("queue.drop", queue_id=both, recipient=BEN)
    sink.behave_well()
    relay.ask("queue.retry")
    sink.wait_for(1, timeout=3)
    relay.settle()
    assert got(sink, both) == [ANN]
    assert not got(sink, held) + got(sink, dropped)
    assert relay.ask("queue.show", queue_id=dropped)["state"] == "filed"
    assert {name: one["state"] for name, one in copies(relay, both).items()} == {ANN: "delivered", BEN: "dropped"}
    relay.ask("queue.release", queue_id=held)
    sink.wait_for(2, timeout=3)
    relay.settle()
    assert got(sink, held) == [ANN]
    assert relay.ask("queue.show", queue_id=held)["state"] == "delivered"


@pytest.mark.slow
def test_attempts_go_on_where_they_stood_after_a_restart(relay: Relay, sink: ThreadedSink) -> None:
    sink.refuse("rcpt", LATER, recipient=ANN)
    message_id = send(relay)
    relay.settle()
    before = queued(relay, message_id)["deliveries"]
    assert relay.stop() == 0
    relay.start()
    assert queued(relay, message_id)["deliveries"] == before
    relay.ask("queue.retry", queue_id=message_id)
    wait_until(lambda: copies(relay, message_id)[ANN]["attempts"] == 2, "not tried again")
    relay.settle()
    copy = copies(relay, message_id)[ANN]
    assert 4.9 < minutes_until(copy["due_at"]) < 5.7, "the second wait, not the first one again"
    sink.behave_well()
    relay.ask("queue.retry", queue_id=message_id)
    sink.wait_for(1, timeout=3)


# -- by time ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_mail_that_nobody_got_for_failover_after_goes_to_allmember_and_retries_go_on(
    sink: ThreadedSink, started: Callable[[dict[str, Any]], Relay]
) -> None:
    relay = started(desk_config(sink.port) | {"failover_after": "2s"})
    sink.refuse("rcpt", "550 5.7.60 SendAsDenied", recipient=BEN)
    ours = send(relay, "kunde@wononly.example")  # ben's
    sink.refuse("rcpt", LATER, recipient=ANN)
    message_id = send(relay)
    sink.wait_for(1, timeout=8)
    assert got(sink, message_id) == [ALL]
    assert list(copies(relay, ours)) == [BEN], "older, and not given to others: the fault is ours"
    relay.settle()
    assert queued(relay, message_id)["deliveries"][0]["state"] == "deferred"
    life = relay.ask("mail.trace", id=message_id)
    assert next(one for one in life["changes"] if one["what"] == "message.failover")["why"]["why"] == "failover_after"
    sink.behave_well()
    relay.ask("queue.retry")
    sink.wait_for(3, timeout=3)
    assert (got(sink, message_id), got(sink, ours)) == ([ALL, ANN], [BEN])


# -- next servers that are not there ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_mail_waits_for_a_server_that_is_down_and_goes_out_when_it_is_up(
    tmp_path: Path, started: Callable[[dict[str, Any]], Relay]
) -> None:
    with ThreadedSink(port=free_port()) as sink:
        sink.stop()
        relay = started(desk_config(sink.port))
        message_id = send(relay)
        relay.settle()
        copy = copies(relay, message_id)[ANN]
        assert (copy["state"], copy["attempts"]) == ("deferred", 1)
        assert "refused" in copy["last_reply"]
        sink.start()
        relay.ask("queue.retry")
        sink.wait_for(1, timeout=3)
        assert got(sink, message_id) == [ANN]


@pytest.mark.slow
def test_the_second_server_of_the_list_takes_over_from_a_dead_first_one(
    sink: ThreadedSink, started: Callable[[dict[str, Any]], Relay]
) -> None:
    config = desk_config(sink.port)
    alive = config["outbound"]
    config["outbound"] = [alive | {"port": free_port()}, alive]
    relay = started(config)
    message_id = send(relay)
    sink.wait_for(1, timeout=5)
    relay.settle()
    copy = copies(relay, message_id)[ANN]
    assert (copy["state"], copy["attempts"]) == ("delivered", 1), "the same attempt"
    (attempt,) = relay.ask("queue.show", queue_id=message_id)["deliveries"][0]["attempts_made"]
    assert attempt["host"] == f"127.0.0.1:{sink.port}"


@pytest.mark.slow
def test_a_refused_login_is_put_off_and_a_mended_one_is_used_after_a_reload(
    started: Callable[[dict[str, Any]], Relay],
) -> None:
    with ThreadedSink(accounts={"relay": "right"}) as sink:
        config = desk_config(sink.port)
        config["failover_after"] = "1s"
        config["outbound"]["auth"] = {"kind": "password", "user": "relay", "password": "wrong"}
        relay = started(config)
        message_id = send(relay)
        relay.settle()
        assert copies(relay, message_id)[ANN]["state"] == "deferred"
        assert "535" in copies(relay, message_id)[ANN]["last_reply"]
        config["outbound"]["auth"]["password"] = "right"
        relay.write_config()
        reload(relay)
        relay.ask("queue.retry")
        sink.wait_for(1, timeout=3)
        relay.settle()
        assert got(sink, message_id) == [ANN]
