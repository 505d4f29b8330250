"""A thousand mails of fifty companies while HubSpot is away for the first half; two workers, one pace."""

import smtplib
import time
from collections import Counter
from pathlib import Path

import pytest

from hubspot_double.process import HubSpotDouble
from journeys.companies import one_owner
from journeys.hubspot_world import HubSpotWorld, hubspot_config, wait_for
from journeys.relay import OURS, STRANGER, Relay, mail
from smtp_sink import ThreadedSink

SUPPORT = "support@desk.test"
COMPANIES, MAILS = 50, 1000
MAX_WAIT_S = 10
CALLS_PER_10S, BURST = 600, 620


def the_mails() -> list[tuple[str, bytes]]:
    """Four threads a company: the customer asks, a colleague closes, the customer asks back, and so on."""
    found = []
    for number in range(MAILS):
        company, turn = number % COMPANIES, number // COMPANIES
        thread, step = turn % 4, turn // 4
        key = f"{thread}.{company}@load.example"
        by_staff = step % 2 == 1
        before = [f"<{one}.{key}>" for one in range(step)]
        headers = {"In-Reply-To": before[-1], "References": " ".join(before)} if before else {}
        sender = "zoe@staff.test" if by_staff else f"kunde@load{company}.example"
        octets = mail(
            sender=sender,
            to=f"kunde@load{company}.example" if by_staff else SUPPORT,
            cc=SUPPORT if by_staff else "",
            subject=f"load {company} {thread}" if not step else f"Re: load {company} {thread}",
            message_id=f"<{step}.{key}>",
            headers=headers,
        )
        found.append((sender, octets))
    return found


def send_all(port: int, mails: list[tuple[str, bytes]]) -> None:
    """In order; one connection for colleagues and one for strangers."""
    with (
        smtplib.SMTP("127.0.0.1", port, source_address=(OURS, 0), timeout=30) as colleagues,
        smtplib.SMTP("127.0.0.1", port, source_address=(STRANGER, 0), timeout=30) as strangers,
    ):
        for sender, octets in mails:
            client = colleagues if sender.endswith("@staff.test") else strangers
            client.sendmail(sender, [SUPPORT], octets)


@pytest.mark.timeout(300)
def test_a_thousand_mails_and_half_the_time_without_hubspot(tmp_path: Path) -> None:
    companies = [one_owner(f"load{n}", "ann@staff.test") for n in range(COMPANIES)]
    with (
        ThreadedSink() as sink,
        HubSpotDouble.start(relay_properties=True, search_lag_s=1.0, burst_per_10s=BURST) as double,
    ):
        ids = double.seed({"companies": companies})
        config = hubspot_config(sink.port, double)
        config["crm"] |= {"max_wait": f"{MAX_WAIT_S}s"}
        config["crm"]["directory"]["calls_per_10s"] = CALLS_PER_10S
        world = HubSpotWorld(Relay(tmp_path, config, []), double, ids)
        world.relay.start()
        mails = the_mails()
        fault = double.fault("down")
        send_all(world.relay.port, mails[: MAILS // 2])
        begun = time.monotonic()
        wait_for(lambda: len(sink.messages) >= MAILS // 2, "people wait longer than crm.max_wait", MAX_WAIT_S + 20)
        waited = time.monotonic() - begun
        double.clear_faults(fault)
        send_all(world.relay.port, mails[MAILS // 2 :])
        wait_for(lambda: len(sink.messages) >= MAILS, "not everybody was served", MAX_WAIT_S + 20)
        print(f"\nthe last of the first half was served {waited:.1f} s after it was sent")
        world.relay.settle(240)
        print(f"all tickets there after {time.monotonic() - begun:.1f} s, counted: {double.counters()}")
        check_copies(sink)
        check_tickets(world)
        counted = double.counters()
        assert counted["rate_limited"] == 0
        assert counted["most_searches_in_1s"] <= 5
        assert counted["most_calls_in_10s"] <= BURST
        assert world.relay.stop() == 0
        double.assert_no_violations()


def check_copies(sink: ThreadedSink) -> None:
    """Each mail once to one reader: its owner, or Allmember while nobody could say who that is."""
    got = Counter(
        line for one in sink.messages for line in one.octets.split(b"\r\n") if line.startswith(b"Message-ID:")
    )
    assert len(got) == MAILS
    assert set(got.values()) == {1}


def check_tickets(world: HubSpotWorld) -> None:
    """Two hundred threads, one ticket each, here and there; five mails on each; the last step decides the stage."""
    ours = world.relay.tickets()
    there = {one["id"]: one for one in world.double.tickets()}
    assert len(ours) == len(there) == MAILS // 5
    for ticket in ours:
        board = there[ticket["external_id"]]
        assert ticket["stage"] == "NEW", ticket
        assert board["properties"]["hs_pipeline_stage"] == "1"
        assert ticket["messages"] == 5
        assert len(board["emails"]) == 5
        logged = [one["hs_email_subject"] for one in board["emails"]]
        assert {subject.removeprefix("Re: ") for subject in logged} == {ticket["subject"].removeprefix("Re: ")}
