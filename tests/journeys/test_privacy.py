"""The daemon forgets whom it was asked to, says what is no longer kept, and shows no secret, whoever says it back."""

import json
import os
import pty
import smtplib
import sqlite3
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from certificates import make_pair
from journeys.companies import COMPANIES
from journeys.conftest import desk_config
from journeys.relay import OURS, STRANGER, Relay, free_port, mail
from journeys.traffic import SUPPORT, customer
from smtp_sink import ThreadedSink

ANN, BOB, ZOE = customer(3), customer(4), "zoe@staff.test"
SMARTHOST, USER = 'smarthost "pass" 7421', "user pass phrase 7422"
WORD = "pangolin"  # stands in nothing but what tells of Ann


@dataclass
class Kept:
    relay: Relay
    sink: ThreadedSink
    submission: int

    def everything(self) -> bytes:
        """What lies on the disk, but the configuration and the sink's own mail."""
        state = self.relay.folder / "state"
        return b"".join(file.read_bytes() for file in state.rglob("*") if file.is_file())

    def columns_with(self, text: str) -> set[tuple[str, str]]:
        """Where in the store it stands: table and column, of all there are."""
        store = sqlite3.connect(self.relay.folder / "state" / "relay.db", timeout=30)
        try:
            tables = [row[0] for row in store.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            columns = [(table, row[1]) for table in tables for row in store.execute(f"PRAGMA table_info({table})")]
            sql = 'SELECT 1 FROM {} WHERE instr(lower(CAST("{}" AS TEXT)), ?) LIMIT 1'
            return {pair for pair in columns if store.execute(sql.format(*pair), (text.lower(),)).fetchone()}
        finally:
            store.close()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    folder = tmp_path_factory.mktemp("privacy")
    pair = make_pair(folder / "tls")
    with ThreadedSink(accounts={"relay": SMARTHOST}) as sink:
        config = desk_config(sink.port)
        mx, submission = free_port(), free_port()
        (folder / "smarthost").write_text(SMARTHOST + "\n")
        config["outbound"]["auth"] = {"kind": "password", "user": "relay", "password_file": "smarthost"}
        config["listen"] = [
            {"host": "0.0.0.0", "port": mx, "role": "mx"},
            {
                "host": "0.0.0.0",
                "port": submission,
                "role": "submission",
                "tls": {"cert": str(pair.cert), "key": str(pair.key)},
            },
        ]
        relay = Relay(folder, config, COMPANIES)
        relay.port = mx
        relay.environment = {"SUPPORTRELAY_LOG": "debug"}
        relay.start()
        yield Kept(relay, sink, submission)
        assert relay.stop() == 0


def letter(number: int, sender: str = ANN, cc: str = "", peer: str = STRANGER) -> tuple[str, bytes]:
    message_id = f"<{number}@mail.example>"
    octets = mail(
        sender=f"Kunde <{sender}>", to=SUPPORT, cc=cc, subject=f"{WORD if sender == ANN else 'other'} {number}",
        message_id=message_id, body=f"we write about {WORD if sender == ANN else 'others'} {number}",
    )  # fmt: skip
    return message_id, octets


def test_a_customer_is_forgotten_while_the_daemon_runs(kept: Kept) -> None:
    relay = kept.relay
    for number in range(10, 20):
        relay.send(letter(number)[1], ANN, [SUPPORT])
    relay.send(letter(30, BOB, cc=ANN)[1], BOB, [SUPPORT])
    relay.settle(60)
    assert WORD.encode() in kept.everything()

    would = json.loads(relay.run("forget", ANN, "--dry-run", "--json").out)
    relay.run("forget", ANN, expect=2)  # nobody is there to ask
    told = relay.run("forget", ANN.upper(), "--yes", "--language", "en").out
    again = json.loads(relay.run("forget", ANN, "--dry-run", "--json").out)

    assert would["dry_run"]
    assert would["removed"]["messages"] == 10
    assert (would["kept"]["unfinished"], would["kept"]["others_count"]) == ([], 1)
    assert f"{ANN} was forgotten" in told
    assert "10 mails" in told
    assert WORD.encode() not in kept.everything(), "not in the file, not in its log, not beside it"
    assert set(again["removed"].values()) == {0}
    assert again["kept"]["others_count"] == 1, "another's mail that names him stays"
    assert kept.columns_with(ANN) == {("contents", "octets")}, "and nothing else of the store"
    assert len(relay.tickets()) == 11, "tickets stay listed"
    assert [ticket for ticket in relay.tickets() if ticket["customer"] == ANN] == []
    relay.run("trace", "<10@mail.example>", expect=1)
    relay.run("trace", "<30@mail.example>")


def test_what_is_not_finished_stays_and_is_exit_1(kept: Kept) -> None:
    relay = kept.relay
    kept.sink.refuse("rcpt", "451 4.3.0 later")
    message_id, octets = letter(40)
    relay.send(octets, ANN, [SUPPORT])
    relay.ask("queue.hold", queue_id=message_id)
    told = relay.run("forget", ANN, "--yes", "--language", "en", expect=1).out

    assert "1 mails are not finished" in told
    assert relay.run("queue", "show", message_id, "--raw").out.count(WORD) == 2
    relay.run("queue", "drop", message_id)
    kept.sink.behave_well()
    relay.run("forget", ANN, "--yes")
    relay.run("trace", message_id, expect=1)


@pytest.mark.parametrize("address", [SUPPORT, "ann@staff.test"])
def test_only_customers_are_forgotten(kept: Kept, address: str) -> None:
    assert kept.relay.run("forget", address, "--yes", expect=1).out == ""


def test_a_person_is_asked_first(kept: Kept) -> None:
    relay = kept.relay
    message_id, octets = letter(50, BOB)
    relay.send(octets, BOB, [SUPPORT])
    relay.settle(60)
    person, terminal = pty.openpty()
    arguments = ["forget", BOB, "--language", "en", "--config", str(relay.config_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "supportrelay", *arguments], stdin=terminal, stdout=terminal, stderr=terminal,
        start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    seen = b""
    while b"for good?" not in seen:
        seen += os.read(person, 1000)
    os.write(person, b"n\n")
    code = process.wait(60)
    os.close(person)

    assert code == 1
    assert b"This would be removed" in seen
    relay.run("trace", message_id)


def test_octets_that_were_kept_long_enough_are_told_as_removed(kept: Kept) -> None:
    """The hour of the housekeeper is not waited for: what it does is the store's, and the command asks the store."""
    relay = kept.relay
    message_id, octets = letter(60, BOB)
    relay.send(octets, BOB, [SUPPORT])
    relay.settle(60)
    store = sqlite3.connect(relay.folder / "state" / "relay.db", timeout=30)
    with store:
        (number,) = store.execute("SELECT seq FROM messages WHERE message_id = ?", (message_id,)).fetchone()
        store.execute("DELETE FROM contents WHERE message = ?", (number,))
        store.execute(
            "INSERT INTO changes (at, what, who, message, why) VALUES (?, 'message.content_removed', 'relay', ?, '{}')",
            (1_790_000_000_000_000, number),
        )
    store.close()

    assert (
        "was removed on 2026-09-21T14:13:20.000Z (keep.raw)"
        in relay.run("queue", "show", message_id, "--raw", expect=1).err
    )
    assert "as the time to keep it was over" in relay.run("trace", message_id, "--language", "en").out


def test_no_secret_is_shown_whoever_says_it_back(kept: Kept) -> None:
    """A smarthost that repeats what it heard, a user who types a wrong password: not in log, trace, store or error."""
    relay, sink = kept.relay, kept.sink
    plain = b64encode(f"\0relay\0{SMARTHOST}".encode()).decode()
    sink.close_connections()
    sink.refuse("auth", f"535 5.7.8 {SMARTHOST} or {plain} is wrong")
    message_id, octets = letter(70)
    relay.send(octets, ANN, [SUPPORT])
    relay.wait_for_log("delivery.deferred")
    (relay.folder / "user").write_text(USER)
    relay.run("user", "add", ZOE, "--password-file", str(relay.folder / "user"))
    with smtplib.SMTP("127.0.0.1", kept.submission, source_address=(OURS, 0), timeout=30) as client:
        client.docmd("EHLO", "client.test")
        assert client.docmd("AUTH", "PLAIN " + b64encode(f"\0{ZOE}\0{USER}".encode()).decode())[0] == 538
    told = relay.run("trace", message_id).out + relay.run("trace", message_id, "--json").out
    told += relay.run("queue", "list", "--json").out + relay.run("check", "--online", expect=1).out

    assert "5.7.8" in told, "what the smarthost said is told"
    for secret in (SMARTHOST, json.dumps(SMARTHOST)[1:-1], plain, USER, b64encode(USER.encode()).decode()):
        assert secret not in told
        assert secret.encode() not in relay.log_path.read_bytes()
        assert secret.encode() not in kept.everything()
    assert b"$argon2id$" not in relay.log_path.read_bytes()
