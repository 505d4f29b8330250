"""kill -9 at every boundary of the stations (RELIABILITY F01-F07): nothing is lost, nothing sent twice without need.

One relay for all of it; its workers are killed, and whoever sends tries again as mail servers do.
"""

import contextlib
import smtplib
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest

import fault_points
from fault_points import arm, happened
from journeys.companies import COMPANIES
from journeys.conftest import desk_config
from journeys.relay import STRANGER, Relay, mail
from journeys.traffic import SUPPORT, arrivals, customer
from smtp_sink import ThreadedSink

ANN = "ann@staff.test"
NUMBERS = count(1)
PATIENCE_S = 60.0


class Faulty:
    """A relay with fault points, and a sink."""

    def __init__(self, folder: Path, sink: ThreadedSink) -> None:
        self.sink = sink
        self.relay = Relay(folder, desk_config(sink.port), COMPANIES)
        self.file = folder / "fault"
        self.relay.program = [fault_points.__file__]
        self.relay.environment = {fault_points.FILE: str(self.file)}
        self.relay.start()

    def letter(self, name: str) -> tuple[str, bytes]:
        """A mail that nobody sent before: ``(Message-ID, octets)``."""
        message_id = f"<{name.replace('.', '-')}.{next(NUMBERS)}@mail.example>"
        return message_id, mail(sender=customer(1), to=SUPPORT, subject=message_id, message_id=message_id)

    def try_to_send(self, octets: bytes) -> bool:
        """One try; True when it got 250."""
        try:
            with smtplib.SMTP("127.0.0.1", self.relay.port, source_address=(STRANGER, 0), timeout=30) as client:
                client.sendmail(customer(1), [SUPPORT], octets)
        except (smtplib.SMTPException, OSError):
            return False
        return True

    def send(self, octets: bytes) -> int:
        """Try until it got 250; how many tries that took."""
        for tries in range(1, 200):
            if self.try_to_send(octets):
                return tries
            time.sleep(0.05)
        raise AssertionError("nobody takes mail")

    def wait_until(self, is_so: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < deadline, f"{what}\n{self.relay.log_path.read_text()[-3000:]}"
            time.sleep(0.02)

    def ask(self, op: str, **arguments: Any) -> Any:
        """As `Relay.ask`, also while the worker that hears commands comes back."""
        for _ in range(200):
            with contextlib.suppress(Exception):
                return self.relay.ask(op, **arguments)
            time.sleep(0.05)
        return self.relay.ask(op, **arguments)

    def work_is_left(self) -> bool:
        return any(self.ask("queue.work_left").values())

    def arrived(self, message_id: str) -> int:
        return arrivals(self.sink.messages)[message_id, ANN]

    def wait_for(self, message_id: str) -> None:
        """Until it arrived and nothing is left to do."""
        self.wait_until(lambda: self.arrived(message_id) > 0, f"{message_id} did not arrive")
        self.wait_until(lambda: not self.work_is_left(), "work is left")

    def tickets_of(self, message_id: str) -> int:
        return sum(ticket["subject"] == message_id for ticket in self.ask("tickets.list"))

    def lives(self, message_id: str) -> list[dict[str, Any]]:
        life = self.ask("mail.trace", id=message_id)
        return [life, *life["others"]]

    def attempts(self, message_id: str) -> list[str]:
        """How ann's attempts ended, oldest first."""
        copies = [copy for copy in self.lives(message_id)[0]["deliveries"] if copy["recipient"] == ANN]
        return [attempt["outcome"] for copy in copies for attempt in copy["attempts_made"]]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    with ThreadedSink() as sink:
        faulty = Faulty(tmp_path_factory.mktemp("faulty"), sink)
        yield faulty
        faulty.file.unlink(missing_ok=True)
        assert faulty.relay.stop() == 0


@pytest.fixture(autouse=True)
def _well_again(faulty: Faulty) -> Iterator[None]:
    yield
    faulty.file.unlink(missing_ok=True)
    faulty.sink.behave_well()


def test_f01_killed_before_the_dot_stores_nothing(faulty: Faulty) -> None:
    """Forty sessions, each at another octet: no message, no ticket; the clients still have the mail."""
    message_id, octets = faulty.letter("f01")
    stuffed = octets + b".\r\n"
    with contextlib.ExitStack() as sessions:
        for cut in (*range(1, len(stuffed) - 5, len(stuffed) // 35), *range(len(stuffed) - 5, len(stuffed))):
            client = smtplib.SMTP("127.0.0.1", faulty.relay.port, source_address=(STRANGER, 0), timeout=30)
            sessions.callback(client.close)
            client.ehlo()
            client.mail(customer(1))
            client.rcpt(SUPPORT)
            assert client.docmd("DATA")[0] == 354
            client.send(stuffed[:cut])
        faulty.relay.kill()
    faulty.relay.start()

    assert message_id not in {row["message_id"] for row in faulty.ask("queue.list")}
    assert faulty.tickets_of(message_id) == 0
    arm(faulty.file, "accept.before", word=message_id)
    assert faulty.send(octets) == 2, "killed once more, before the commit"
    faulty.wait_for(message_id)
    assert (faulty.arrived(message_id), faulty.tickets_of(message_id), len(faulty.lives(message_id))) == (1, 1, 1)


def test_f02_killed_between_the_commit_and_250_the_second_sending_is_merged(faulty: Faulty) -> None:
    message_id, octets = faulty.letter("f02")
    arm(faulty.file, "accept.after", word=message_id)

    assert faulty.send(octets) == 2

    faulty.wait_for(message_id)
    assert len(faulty.lives(message_id)) == 2, "both were stored"
    assert (faulty.arrived(message_id), faulty.tickets_of(message_id)) == (1, 1)


@pytest.mark.parametrize(
    ("point", "act"),
    [
        ("decide.before", "kill"),
        ("settle.before", "kill_all"),
        ("settle.after", "kill"),
        ("dial.before", "kill"),
        ("data.before", "kill_all"),
        ("report.after", "kill"),
    ],
)
def test_f03_killed_between_stations_it_goes_on_where_it_was_and_sends_once(
    faulty: Faulty, point: str, act: str
) -> None:
    message_id, octets = faulty.letter(f"f03-{point}")
    arm(faulty.file, point, act)

    faulty.try_to_send(octets)  # on a busy machine its 250 may come too late; then it is merged like any other
    faulty.wait_until(lambda: happened(faulty.file) == 1, "it did not happen")
    if act == "kill_all":
        assert faulty.relay.process is not None
        faulty.relay.process.wait(30)
        faulty.relay.start()

    faulty.wait_for(message_id)
    assert (faulty.arrived(message_id), faulty.tickets_of(message_id)) == (1, 1)


def test_f03_killed_after_a_later_attempt_was_recorded(faulty: Faulty) -> None:
    message_id, octets = faulty.letter("f03-claim")
    faulty.sink.refuse("rcpt", "450 4.2.0 later", times=1)
    faulty.send(octets)
    faulty.wait_until(lambda: faulty.attempts(message_id) == ["deferred"], "not deferred")
    arm(faulty.file, "claim.after")

    faulty.ask("queue.retry", queue_id=message_id)

    faulty.wait_for(message_id)
    assert faulty.attempts(message_id) == ["deferred", "lost", "delivered"]
    assert faulty.arrived(message_id) == 1


@pytest.mark.parametrize("act", ["kill", "raise"])
def test_f05_what_breaks_a_station_three_times_is_held_and_told_and_blocks_nobody(faulty: Faulty, act: str) -> None:
    """With other mail under way at each death; a worker that breaks on one mail must not take the others along."""
    poison, octets = faulty.letter(f"f05-{act}")
    arm(faulty.file, "decide.before", act, word=poison, times=9)
    before = faulty.relay.log_path.stat().st_size

    faulty.try_to_send(octets)
    others = [faulty.letter("f05-other") for _ in range(12)]
    for _, other in others:
        faulty.send(other)

    faulty.wait_until(lambda: faulty.lives(poison)[0]["state"] == "held", "not held")
    assert happened(faulty.file) == 3
    for message_id, _ in others:
        faulty.wait_for(message_id)
    assert faulty.arrived(poison) == 0
    assert b'"message.held"' in faulty.relay.log_path.read_bytes()[before:]
    faulty.file.unlink()
    faulty.ask("queue.release", queue_id=poison)
    faulty.wait_for(poison)
    assert faulty.tickets_of(poison) == 1


def test_f05_a_copy_that_kills_its_worker_three_times_is_held_and_the_others_arrive(faulty: Faulty) -> None:
    poison, octets = faulty.letter("f05-copy")
    others = [faulty.letter("f05-other") for _ in range(6)]
    faulty.sink.refuse("rcpt", "450 4.2.0 later")
    for each in (octets, *(other for _, other in others)):
        faulty.send(each)
    everything = [poison, *(message_id for message_id, _ in others)]
    faulty.wait_until(lambda: all(faulty.attempts(one) for one in everything), "not tried")
    faulty.wait_until(lambda: not faulty.work_is_left(), "work is left")
    faulty.sink.behave_well()
    arm(faulty.file, "dial.before", word=poison, times=9)

    for one in everything:
        faulty.ask("queue.retry", queue_id=one)

    faulty.wait_until(lambda: faulty.lives(poison)[0]["state"] == "held", "not held")
    assert happened(faulty.file) == 3
    for message_id, _ in others:
        faulty.wait_for(message_id)
        assert faulty.attempts(message_id).count("lost") <= 2
    assert faulty.arrived(poison) == 0


@pytest.mark.parametrize("is_killed", [True, False], ids=["killed", "connection lost"])
def test_f06_between_the_dot_and_its_answer_the_same_mail_goes_again(faulty: Faulty, is_killed: bool) -> None:
    message_id, octets = faulty.letter("f06")

    def kill(_content: bytes) -> bool:
        assert faulty.relay.process is not None
        family = psutil.Process(faulty.relay.process.pid).children()
        faulty.relay.process.kill()
        psutil.wait_procs(family, timeout=30)  # nobody is left to hear the answer
        return False

    if is_killed:
        faulty.sink.refuse("dot", "", times=1, when=kill)
    else:
        faulty.sink.drop("dot", times=1)
    faulty.try_to_send(octets) if is_killed else faulty.send(octets)
    if is_killed:
        assert faulty.relay.process is not None
        faulty.relay.process.wait(30)
        faulty.sink.behave_well()
        faulty.relay.start()
        faulty.wait_for(message_id)
    else:
        faulty.wait_until(lambda: faulty.attempts(message_id) == ["deferred"], "not deferred")
        assert b'"may_be_sent_twice": true' in faulty.relay.log_path.read_bytes()
        faulty.ask("queue.retry", queue_id=message_id)
        faulty.wait_for(message_id)
    came = [one for one in (*faulty.sink.unanswered, *faulty.sink.messages) if message_id.encode() in one.octets]
    assert len(came) == 2, "no more often than that"
    bodies = {one.octets.partition(b"Message-ID:")[2] for one in came}
    assert len(bodies) == 1, "the same mail, the same Message-ID"
    assert faulty.tickets_of(message_id) == 1


def test_f07_killed_between_the_answer_and_its_note_sends_twice_and_no_more(faulty: Faulty) -> None:
    message_id, octets = faulty.letter("f07")
    arm(faulty.file, "report.before")

    faulty.send(octets)
    faulty.wait_until(lambda: happened(faulty.file) == 1, "it did not happen")

    faulty.wait_until(lambda: faulty.arrived(message_id) == 2, "not sent again")
    faulty.wait_for(message_id)
    assert faulty.attempts(message_id) == ["lost", "delivered"]
    assert (faulty.arrived(message_id), faulty.tickets_of(message_id)) == (2, 1)
