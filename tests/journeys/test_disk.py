"""The disk fills up, refuses, or somebody holds the store (RELIABILITY F09-F12)."""

import contextlib
import smtplib
import sqlite3
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

import fault_points
from fault_points import arm
from faulty_disk import FaultyDisk, Record
from journeys.companies import COMPANIES
from journeys.conftest import desk_config
from journeys.relay import STRANGER, Relay, mail
from journeys.traffic import SUPPORT, arrivals, customer
from smtp_sink import ThreadedSink

ANN = "ann@staff.test"
NUMBERS = count(1)
PATIENCE_S = 60.0
LARGE = "x" * 998 + "\r\n"


class Desk:
    """A relay on a faulty disk, and a sink."""

    def __init__(self, folder: Path, sink: ThreadedSink) -> None:
        self.sink = sink
        self.relay = Relay(folder, {**desk_config(sink.port), "workers": 1}, COMPANIES)
        self.disk = FaultyDisk(folder / "state", folder, keeps_journal=True)
        self.faults = folder / "fault"
        self.relay.program = [fault_points.__file__]
        self.relay.environment = {
            **self.disk.environment,
            fault_points.FILE: str(self.faults),
            "FAULT_STORE_WAIT_S": "3",
        }
        self.relay.start()

    def client(self) -> smtplib.SMTP:
        client = smtplib.SMTP("127.0.0.1", self.relay.port, source_address=(STRANGER, 0), timeout=60)
        client.ehlo()
        return client

    def letter(self, name: str, lines: int = 1) -> tuple[str, bytes]:
        message_id = f"<{name}.{next(NUMBERS)}@mail.example>"
        body = LARGE * lines
        return message_id, mail(sender=customer(1), to=SUPPORT, subject=message_id, message_id=message_id, body=body)

    def wait_until(self, is_so: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not is_so():
            assert time.monotonic() < deadline, f"{what}\n{self.relay.log_path.read_text()[-3000:]}"
            time.sleep(0.02)

    def arrived(self, message_id: str) -> int:
        return arrivals(self.sink.messages)[message_id, ANN]

    def deliver(self, client: smtplib.SMTP, message_id: str, octets: bytes) -> None:
        """Send until it is taken, and wait until it arrived."""
        self.wait_until(lambda: _taken(client, octets), "not taken again")
        self.wait_until(lambda: self.arrived(message_id) > 0, "did not arrive")

    def log_since(self, offset: int) -> str:
        return self.relay.log_path.read_bytes()[offset:].decode()


def _taken(client: smtplib.SMTP, octets: bytes) -> bool:
    try:
        client.sendmail(customer(1), [SUPPORT], octets)
    except smtplib.SMTPResponseException as exc:
        if exc.smtp_code not in {451, 452}:
            raise
        return False
    return True


def upload(client: smtplib.SMTP, octets: bytes) -> tuple[int, bytes]:
    """Past MAIL, which was said before the disk failed; the reply to the dot."""
    client.rcpt(SUPPORT)
    return client.data(octets)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with ThreadedSink() as sink:
        desk = Desk(tmp_path_factory.mktemp("disk"), sink)
        yield desk
        desk.disk.be("well")
        assert desk.relay.stop() == 0


@pytest.fixture(autouse=True)
def _well_again(desk: Desk) -> Iterator[None]:
    yield
    desk.disk.be("well")
    desk.faults.unlink(missing_ok=True)
    with desk.client() as client:
        desk.wait_until(lambda: client.docmd(f"MAIL FROM:<{customer(1)}>")[0] in {250, 503}, "no mail is taken")
    desk.sink.behave_well()


def test_f12_what_was_answered_with_250_was_synced_before(desk: Desk) -> None:
    """A small mail and one that lies in a file of its own: written, synced, and only then said."""
    letters = [desk.letter("f12"), desk.letter("f12-large", lines=400), desk.letter("f12")]
    said = []
    with desk.client() as client:
        for _, octets in letters:
            client.mail(customer(1))
            said.append(upload(client, octets))
    journal = desk.disk.journal()
    for (_, octets), (code, text) in zip(letters, said, strict=True):
        assert code == 250
        queue_id = text.split()[-1]
        answered = next(i for i, one in enumerate(journal) if one.what == "A" and queue_id in one.octets)
        assert_synced_before(journal[:answered], queue_id, "relay.db-wal")
        if len(octets) > 256 * 1024:
            renamed = next(i for i, one in enumerate(journal) if one.what == "R" and "/contents/" in one.path)
            assert renamed < answered
            temporary = journal[renamed].path + ".tmp"
            assert any(one.what == "S" and one.path == temporary for one in journal[:renamed]), "the file"
            folder = str(Path(journal[renamed].path).parent)
            assert any(one.what == "S" and one.path == folder for one in journal[renamed:answered]), "its name"


def assert_synced_before(journal: list[Record], queue_id: bytes, file: str) -> None:
    """The last write that holds the id, into this file, has a sync of the file behind it."""
    written = [i for i, one in enumerate(journal) if one.what == "W" and queue_id in one.octets]
    written = [i for i in written if journal[i].path.endswith(file)]
    assert written, "answered, but never written"
    assert any(one.what == "S" and one.path.endswith(file) for one in journal[written[0] :]), "answered before the sync"


def test_f09_a_full_disk_takes_no_mail_and_recovers_by_itself(desk: Desk) -> None:
    message_id, octets = desk.letter("f09")
    large_id, large = desk.letter("f09-large", lines=400)
    with desk.client() as early, desk.client() as early_large, desk.client() as late:
        assert early.mail(customer(1))[0] == early_large.mail(customer(1))[0] == 250
        offset = desk.relay.log_path.stat().st_size

        desk.disk.be("full")

        assert upload(early, octets)[0] == 452, "at the dot"
        code, text = upload(early_large, large)
        assert (code, text[:5]) == (452, b"4.3.1"), "at the dot, with a file of its own"
        code, text = late.mail(customer(1), [f"SIZE={len(octets)}"])
        assert (code, text[:5]) == (452, b"4.3.1"), "at MAIL"
        assert late.noop()[0] == 250
        assert '"store.unwell"' in desk.log_since(offset)

        desk.disk.be("well")

        desk.deliver(late, message_id, octets)
        desk.deliver(late, large_id, large)
        assert '"store.well_again"' in desk.log_since(offset)
    assert [desk.arrived(message_id), desk.arrived(large_id)] == [1, 1]
    assert sum(ticket["subject"] == message_id for ticket in desk.relay.tickets()) == 1, "nothing half stored"
    assert not list((desk.relay.folder / "state" / "contents").rglob("*.tmp"))


def test_f09_without_room_for_the_claim_nothing_is_sent(desk: Desk) -> None:
    """The attempt is recorded before it is made: what cannot be recorded is not sent, and goes on by itself later."""
    message_id, octets = desk.letter("f09-claim")
    arm(desk.faults, "settle.before", f"write {desk.disk.control} full")
    offset = desk.relay.log_path.stat().st_size
    with desk.client() as client:
        client.sendmail(customer(1), [SUPPORT], octets)

    desk.wait_until(lambda: "message.put_off" in desk.log_since(offset), "the decision was committed")
    assert not [line for _, line in desk.sink.commands if message_id in line]
    assert desk.arrived(message_id) == 0
    desk.disk.be("well")

    desk.wait_until(lambda: desk.arrived(message_id) > 0, "did not go on")
    desk.relay.settle(60)
    assert desk.arrived(message_id) == 1


def test_f09_what_was_sent_is_noted_once_there_is_room_and_not_sent_again(desk: Desk) -> None:
    message_id, octets = desk.letter("f09-report")
    arm(desk.faults, "report.before", f"write {desk.disk.control} full")
    offset = desk.relay.log_path.stat().st_size
    with desk.client() as client:
        client.sendmail(customer(1), [SUPPORT], octets)

    desk.wait_until(lambda: desk.log_since(offset).count("delivery.put_off") >= 2, "it was noted")
    desk.disk.be("well")
    desk.relay.settle(60)

    assert desk.arrived(message_id) == 1


@pytest.mark.parametrize("fault", ["io", "sync", "readonly"])
def test_f10_a_disk_that_refuses_stops_the_intake_until_it_writes_again(desk: Desk, fault: str) -> None:
    """A sync that failed was none: nothing it should have kept counts, and whoever sends keeps his mail."""
    message_id, octets = desk.letter(f"f10-{fault}")
    with desk.client() as early, desk.client() as late:
        assert early.mail(customer(1))[0] == 250
        offset = desk.relay.log_path.stat().st_size

        desk.disk.be(fault)

        code, text = upload(early, octets)
        assert (code, text[:5]) == (451, b"4.3.0")
        code, text = late.mail(customer(1))
        assert (code, text[:5]) == (451, b"4.3.0"), "nobody uploads what cannot be kept"
        assert '"store.unwell"' in desk.log_since(offset)
        assert message_id not in {row["message_id"] for row in desk.relay.ask("queue.list")}

        desk.disk.be("well")

        desk.deliver(late, message_id, octets)
    assert desk.arrived(message_id) == 1
    desk.wait_until(lambda: '"store.well_again"' in desk.log_since(offset), "not well again")


def test_f11_a_store_that_somebody_holds_is_waited_for_then_451_and_others_are_served(desk: Desk) -> None:
    message_id, octets = desk.letter("f11")
    with contextlib.closing(sqlite3.connect(desk.relay.folder / "state" / "relay.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with desk.client() as client, desk.client() as beside:
            client.mail(customer(1))
            client.rcpt(SUPPORT)
            assert client.docmd("DATA")[0] == 354
            client.send(octets + b".\r\n")
            assert beside.noop()[0] == 250, "the loop is not held up"
            code, text = client.getreply()
            assert (code, text[:5]) == (451, b"4.3.0")
            assert beside.mail(customer(1))[0] == 250, "locked is no fault of the disk"
            beside.rcpt(SUPPORT)
            assert beside.docmd("DATA")[0] == 354
            beside.send(octets + b".\r\n")

            other.execute("ROLLBACK")

            assert beside.getreply()[0] == 250, "it waited"
    desk.wait_until(lambda: desk.arrived(message_id) > 0, "did not arrive")
    desk.relay.settle(60)
    assert desk.arrived(message_id) == 1
