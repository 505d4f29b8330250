"""Two mails of one new thread at two workers in the same instant: one ticket, whoever comes first."""

import smtplib
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from journeys.companies import COMPANIES
from journeys.conftest import desk_config
from journeys.relay import STRANGER, Relay, mail
from journeys.traffic import SUPPORT, arrivals, worker_of
from smtp_sink import ThreadedSink

PAIRS = 200
ASKER = "kunde@acme1.example"
COLLEAGUE = "kollegin@acme1.example"  # of the same company: the guard lets her into the thread


@dataclass
class Track:
    """A relay, and a session at each of its two workers."""

    relay: Relay
    sink: ThreadedSink
    sessions: list[smtplib.SMTP]


@pytest.fixture(scope="module")
def track(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Track]:
    with ThreadedSink() as sink:
        relay = Relay(tmp_path_factory.mktemp("race"), desk_config(sink.port), COMPANIES)
        relay.start()
        opened = [smtplib.SMTP("127.0.0.1", relay.port, source_address=(STRANGER, 0), timeout=20) for _ in range(24)]
        by_worker = {worker_of(session): session for session in opened}
        assert len(by_worker) == 2, "24 sessions all went to one worker"
        sessions = list(by_worker.values())
        for session in opened:
            if session not in sessions:
                session.close()
        yield Track(relay, sink, sessions)
        for session in sessions:
            session.quit()
        assert relay.stop() == 0


def race(sessions: list[smtplib.SMTP], pairs: list[tuple[bytes, bytes]]) -> None:
    """Send the two mails of each pair at the same instant, one by each session."""
    start = threading.Barrier(2)
    failed: list[Exception] = []

    def run(position: int) -> None:
        try:
            for pair in pairs:
                sender = ASKER if position == 0 else COLLEAGUE
                session = sessions[position]
                session.ehlo_or_helo_if_needed()
                session.mail(sender)
                session.rcpt(SUPPORT)
                session.putcmd("DATA")
                assert session.getreply()[0] == 354
                octets = pair[position] + b".\r\n"
                start.wait(20)
                session.send(octets)
                assert session.getreply()[0] == 250
        except (
            OSError,
            smtplib.SMTPException,
            AssertionError,
            threading.BrokenBarrierError,
        ) as exc:  # the other thread must not wait for this one
            failed.append(exc)
            start.abort()

    threads = [threading.Thread(target=run, args=(position,)) for position in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if failed:
        raise failed[0]


def tickets_of(relay: Relay, name: str) -> Counter[str]:
    """Thread -> how many tickets it has; a thread is named by the subject."""
    subjects = (ticket["subject"].removeprefix("Re: ") for ticket in relay.tickets())
    return Counter(subject for subject in subjects if subject.startswith(name))


def assert_one_ticket_each(relay: Relay, name: str) -> None:
    relay.settle(30)
    tickets = tickets_of(relay, name)
    assert len(tickets) == PAIRS
    several = {subject: count for subject, count in tickets.items() if count > 1}
    assert not several
    counted = {ticket["messages"] for ticket in relay.tickets() if ticket["subject"].removeprefix("Re: ") in tickets}
    assert counted == {2}


@pytest.mark.slow
def test_a_mail_and_its_answer_at_the_same_instant_make_one_ticket(track: Track) -> None:
    pairs = []
    for number in range(PAIRS):
        subject, first = f"mail and answer {number}", f"<ma.{number}@mail.example>"
        answers = {"In-Reply-To": first, "References": first}
        pairs.append(
            (
                mail(sender=ASKER, to=SUPPORT, subject=subject, message_id=first),
                mail(
                    sender=COLLEAGUE,
                    to=SUPPORT,
                    subject=f"Re: {subject}",
                    message_id=f"<ma.{number}.answer@mail.example>",
                    headers=answers,
                ),
            )
        )
    race(track.sessions, pairs)
    assert_one_ticket_each(track.relay, "mail and answer")


@pytest.mark.slow
def test_two_answers_to_a_mail_we_never_saw_make_one_ticket(track: Track) -> None:
    pairs = []
    for number in range(PAIRS):
        unseen = f"<unseen.{number}@mail.example>"
        one, other = (
            mail(
                sender=sender,
                to=SUPPORT,
                subject=f"Re: two answers {number}",
                message_id=f"<two.{number}.{place}@mail.example>",
                headers={"In-Reply-To": unseen, "References": unseen},
            )
            for place, sender in enumerate((ASKER, COLLEAGUE))
        )
        pairs.append((one, other))
    race(track.sessions, pairs)
    assert_one_ticket_each(track.relay, "two answers")


@pytest.mark.slow
def test_the_same_mail_at_two_workers_at_once_is_one_ticket_and_one_copy(track: Track) -> None:
    mails = [
        mail(sender=ASKER, to=SUPPORT, subject=f"same mail {number}", message_id=f"<same.{number}@mail.example>")
        for number in range(PAIRS)
    ]
    race(track.sessions, [(one, one) for one in mails])
    track.relay.settle(30)
    assert set(tickets_of(track.relay, "same mail").values()) == {1}
    copies = arrivals(track.sink.messages)
    assert [copies[f"<same.{number}@mail.example>", "ann@staff.test"] for number in range(PAIRS)] == [1] * PAIRS
