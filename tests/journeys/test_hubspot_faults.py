"""HubSpot away, refusing, or we die in mid-call: people get their mail, and the board is right in the end."""

import contextlib
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from hubspot_double.process import HubSpotDouble
from journeys.hubspot_world import DOUBLE_BURST, MAX_WAIT_S, HubSpotWorld, wait_for
from journeys.relay import OURS, mail
from smtp_sink import ThreadedSink

SUPPORT = "support@desk.test"
ANN, ZOE, ALL = "ann@staff.test", "zoe@staff.test", "all@desk.test"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[HubSpotWorld]:
    with (
        ThreadedSink() as sink,
        HubSpotDouble.start(relay_properties=True, search_lag_s=1.0, burst_per_10s=DOUBLE_BURST) as double,
    ):
        world = HubSpotWorld.make(tmp_path, sink.port, double)
        world.sink = sink
        world.relay.start()
        yield world
        if world.relay.process is not None:
            assert world.relay.stop() == 0
        double.assert_no_violations()


def customer(number: int) -> str:
    return f"kunde@acme{number}.example"


def write(world: HubSpotWorld, subject: str, message_id: str, sender: str, **more: Any) -> None:
    """A mail to support@; ``answers`` a Message-ID, ``cc`` and ``to`` as given."""
    answers = more.pop("answers", "")
    headers = {"In-Reply-To": answers, "References": answers} if answers else {}
    peer = {"peer": OURS} if sender.endswith("@staff.test") else {}
    octets = mail(
        sender=sender, to=more.pop("to", SUPPORT), subject=subject, message_id=message_id, headers=headers, **more
    )
    world.relay.send(octets, sender, [SUPPORT], **peer)


def copies(world: HubSpotWorld, message_id: str) -> list[str]:
    """Who got a copy of it."""
    word = message_id.encode()
    return sorted(r for one in world.sink.messages if word in one.octets for r in one.recipients)


def calls(world: HubSpotWorld, since: int) -> list[str]:
    """Method and path of what the relay asked since then, without polls."""
    found = [f"{one['method']} {one['path']}" for one in world.double.log(since)]
    return [one for one in found if not one.endswith("/tickets/search")]


def log_length(world: HubSpotWorld) -> int:
    found = world.double.log()
    return int(found[-1]["n"]) if found else 0


def test_known_customers_mail_asks_little(world: HubSpotWorld) -> None:
    write(world, "first", "<a1@acme0.example>", customer(0))
    world.settle()
    since = log_length(world)
    write(world, "second matter", "<a2@acme0.example>", customer(0))
    world.settle()
    asked = calls(world, since)
    assert len(asked) <= 3, asked
    assert all("/tickets" in one or "/emails" in one for one in asked), f"the directory was asked: {asked}"
    since = log_length(world)
    write(world, "Re: second matter", "<a3@acme0.example>", customer(0), answers="<a2@acme0.example>")
    world.settle()
    asked = calls(world, since)
    assert len(asked) <= 3, asked
    assert all("/tickets" in one or "/emails" in one for one in asked), f"the directory was asked: {asked}"


def test_the_ticket_there_is_whole(world: HubSpotWorld) -> None:
    write(world, "whole ticket", "<w1@two.example>", "Hanako Yamada <a@two.example>", body="It does not start.")
    world.settle()
    there = world.there(world.one("whole ticket"))
    owner = {one["email"]: one["id"] for one in world.double.owners()}
    assert there["properties"]["subject"] == "whole ticket"
    assert there["properties"]["hubspot_owner_id"] == owner[ANN]
    assert "It does not start." in there["properties"]["content"]
    assert len(there["properties"]["relay_thread_key"]) == 64
    ids = world.ids
    assert list(there["associations"]["companies"]) == [ids["companies"]["two"]]
    assert list(there["associations"]["deals"]) == [ids["deals"]["pair"]]
    (contact,) = there["associations"]["contacts"]
    made = next(one for one in world.double.records("contacts") if one["id"] == contact)
    assert made["properties"]["email"] == "a@two.example"
    (logged,) = there["emails"]
    assert logged["hs_email_direction"] == "INCOMING_EMAIL"
    assert "<w1@two.example>" in logged["hs_email_text"]


@pytest.mark.timeout(300)
def test_killed_between_the_create_and_saving_its_id(world: HubSpotWorld) -> None:
    """RELIABILITY F04, F19: fifty-one creates that HubSpot did and whose answer we never kept: no second ticket."""
    assert world.relay.stop() == 0
    world.relay.config["crm"]["directory"]["timeout"] = "60s"  # who waits for the answer waits until he dies
    world.relay.write_config()
    world.relay.start()
    rounds, each = 17, 3
    for number in range(rounds):
        fault = world.double.fault("lost", method="POST", path="/objects/[^/]+/tickets$", how="hang")
        for one in range(each):
            write(world, f"killed {number}.{one}", f"<k{number}.{one}@acme1.example>", customer(one))
        wait_for(partial(all_hit, world, fault, each), "the creates did not come")
        if number % 4:
            for worker in workers(world):
                worker.kill()
            world.double.clear_faults()
        else:
            world.relay.kill()
            world.double.clear_faults()
            world.relay.start()
    wait_for(lambda: len([t for t in world.relay.tickets() if t["external_id"]]) == rounds * each, "not all known", 30)
    world.settle()
    found = world.double.tickets()
    assert len(found) == rounds * each
    assert len({one["properties"]["subject"] for one in found}) == rounds * each
    assert {t["external_id"] for t in world.relay.tickets()} == {one["id"] for one in found}
    assert all(len(one["emails"]) == 1 for one in found)


def workers(world: HubSpotWorld) -> list[psutil.Process]:
    """Only workers have the store open."""
    assert world.relay.process is not None
    store = str(world.relay.folder / "state" / "relay.db")
    found = []
    for child in psutil.Process(world.relay.process.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if store in {file.path for file in child.open_files()}:
                found.append(child)
    return found


def all_hit(world: HubSpotWorld, fault: int, count: int) -> bool:
    return world.double.hits(fault) >= count


def test_a_worker_killed_while_it_works(world: HubSpotWorld) -> None:
    world.double.set(latency_s=0.15)
    for number in range(12):
        write(world, f"worker {number}", f"<wk{number}@acme2.example>", customer(number))
    workers(world)[0].kill()
    world.double.set(latency_s=0.0)
    wait_for(lambda: len(world.double.tickets()) == 12, "not all tickets came", 60)
    world.relay.settle(60)
    assert len(world.double.tickets()) == 12
    assert sorted(len(one["emails"]) for one in world.double.tickets()) == [1] * 12


def test_away_while_a_colleague_closes_and_the_customer_answers(world: HubSpotWorld) -> None:
    """RELIABILITY F18."""
    write(world, "while away", "<o1@acme3.example>", customer(3))
    world.settle()
    world.double.fault("down")
    write(world, "Re: while away", "<o2@staff.test>", ZOE, to=customer(3), cc=SUPPORT, answers="<o1@acme3.example>")
    wait_for(lambda: world.one("while away")["stage"] == "CLOSED", "not closed here")
    write(world, "Re: while away", "<o3@acme3.example>", customer(3), answers="<o2@staff.test>")
    wait_for(lambda: copies(world, "<o3@acme3.example>") == [ANN], "the owner did not get it")
    world.double.clear_faults()
    wait_for(lambda: len(world.there(world.one("while away"))["emails"]) == 3, "not all mail was logged", 90)
    world.settle()
    stages = [one["value"] for one in world.there(world.one("while away"))["stages"]]
    assert stages == ["1", "4", "1"]
    assert world.one("while away")["stage"] == "NEW"


def test_a_move_by_hand_later_than_the_mail_stands(world: HubSpotWorld) -> None:
    write(world, "by hand", "<h1@acme4.example>", customer(4))
    world.settle()
    there = world.one("by hand")["external_id"]
    world.double.hand_move(there, "2")
    wait_for(lambda: world.one("by hand")["stage"] == "WAITING", "the move there is not known here")
    world.double.fault("down")
    write(world, "Re: by hand", "<h2@acme4.example>", customer(4), answers="<h1@acme4.example>")
    wait_for(lambda: world.one("by hand")["stage"] == "NEW", "not NEW here")
    world.double.hand_move(there, "4")
    world.double.clear_faults()
    wait_for(lambda: len(world.there(world.one("by hand"))["emails"]) == 2, "not logged", 90)
    world.settle()
    assert world.there(world.one("by hand"))["properties"]["hs_pipeline_stage"] == "4"
    assert world.one("by hand")["stage"] == "CLOSED"
    story = world.relay.run("trace", "<h2@acme4.example>", "--json").json
    dropped = [change for change in story["changes"] if change["what"] == "desk.move_dropped"]
    assert len(dropped) == 1


def test_a_ticket_deleted_there(world: HubSpotWorld) -> None:
    write(world, "deleted", "<d1@acme5.example>", customer(5))
    world.settle()
    first = world.one("deleted")
    world.double.delete("tickets", first["external_id"])
    write(world, "Re: deleted", "<d2@acme5.example>", customer(5), answers="<d1@acme5.example>")
    world.settle()
    (second,) = [t for t in world.relay.tickets() if t["id"] != first["id"]]
    assert second["stage"] == "NEW"
    assert second["external_id"] not in {None, first["external_id"]}
    assert copies(world, "<d2@acme5.example>") == [ANN]
    told = world.relay.run("trace", "<d2@acme5.example>").out
    assert first["id"] in told, told
    write(world, "Re: deleted", "<d3@acme5.example>", customer(5), answers="<d2@acme5.example>")
    world.settle()
    (still,) = [t for t in world.relay.tickets() if t["id"] != first["id"]]
    assert still["messages"] == 2
    assert len(world.there(still)["emails"]) == 2


def test_a_refused_move_is_said_once(world: HubSpotWorld) -> None:
    world.double.set(forbidden_moves=[{"pipeline": "0", "from": "1", "to": "4"}])
    write(world, "refused", "<r1@acme6.example>", customer(6))
    world.settle()
    write(world, "Re: refused", "<r2@staff.test>", ZOE, to=customer(6), cc=SUPPORT, answers="<r1@acme6.example>")
    world.settle()
    assert world.one("refused")["stage"] == "NEW", "the mirror shows what is"
    story = world.relay.run("trace", "<r2@staff.test>", "--json").json
    assert sum(change["what"] == "desk.move_refused" for change in story["changes"]) == 1
    assert "refused" in world.relay.run("tickets", "show", world.one("refused")["id"], "--language", "en").out
    moves = [one for one in world.double.log() if one["method"] == "PATCH"]
    assert len(moves) == 1, "it was tried again"


def test_a_refused_token_stops_nobodys_mail(world: HubSpotWorld) -> None:
    """RELIABILITY F21."""
    write(world, "before", "<t1@acme7.example>", customer(7))
    world.settle()
    world.double.fault("status", status=401)
    since = log_length(world)
    for number in range(5):
        write(world, f"after {number}", f"<t2.{number}@acme7.example>", customer(7))
    wait_for(lambda: len([m for m in world.sink.messages if b"<t2." in m.octets]) == 5, "mail waits")
    assert all(copies(world, f"<t2.{n}@acme7.example>") == [ANN] for n in range(5)), "the last known owner"
    time.sleep(3)  # a client that tries again and again would have by now
    assert len(world.double.log(since)) <= 6, [one["path"] for one in world.double.log(since)]
    assert "crm.token_refused" in world.relay.log_path.read_text()


def test_down_from_the_start_and_a_stranger_goes_to_everybody(world: HubSpotWorld) -> None:
    """RELIABILITY F18."""
    world.double.fault("down")
    begun = time.monotonic()
    write(world, "nobody known", "<n1@acme8.example>", customer(8))
    wait_for(lambda: copies(world, "<n1@acme8.example>") == [ALL], "nobody got it", 40)
    assert time.monotonic() - begun < MAX_WAIT_S + 5, "later than crm.max_wait"
    assert "CRM" in world.relay.run("trace", "<n1@acme8.example>", "--language", "en").out


def test_the_last_known_owner_after_a_restart(world: HubSpotWorld) -> None:
    assert world.relay.stop() == 0
    world.relay.config["crm"]["cache_for"] = "1s"
    world.relay.write_config()
    world.relay.start()
    write(world, "remembered", "<l1@acme9.example>", customer(9))
    world.settle()
    assert world.relay.stop() == 0
    world.double.fault("down")
    time.sleep(1.0)  # until the answer is no longer fresh
    world.relay.start()
    write(world, "remembered again", "<l2@acme9.example>", customer(9))
    wait_for(lambda: copies(world, "<l2@acme9.example>") == [ANN], "not by the last known answer")
    story = world.relay.run("trace", "<l2@acme9.example>", "--json").json
    assert story["decision"]["directory"]["is_last_known"] is True
    (copy,) = [one.octets for one in world.sink.messages if b"<l2@acme9.example>" in one.octets]
    assert time.strftime("%Y-%m-%d", time.gmtime()).encode() in copy.partition(b"\r\n\r\n")[2], "the banner says when"
