"""HubSpot in one role or both: what people do there, changes while serving, and answers nobody should give."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from hubspot_double.process import HubSpotDouble
from hubspot_double.settings import ALL_SCOPES
from journeys.companies import COMPANIES, company, one_owner
from journeys.hubspot_world import DOUBLE_BURST, HubSpotWorld, hubspot_config, seed_of, wait_for
from journeys.relay import OURS, Relay, free_port, mail
from journeys.traffic import reload
from smtp_sink import ThreadedSink

SUPPORT = "support@desk.test"
ANN, BEN, CHO, ZOE, ALL = (
    *(f"{name}@staff.test" for name in ("ann", "ben", "cho", "zoe")),
    "all@desk.test",
)
# Stage 3 of the double's board means nothing here.
STAGES = {"NEW": ["1"], "WAITING": ["2"], "CLOSED": ["4"]}
MAX_WAIT_S = 4
SECRET = "client-secret-of-the-project-app"
MORE = [
    company("leaver", "leaver.example", [("leaving", "open", ["gus@staff.test", CHO])]),
    one_owner("keeper", BEN),
    one_owner("loser", CHO),
    company("deals", "deals.example", [("kept deal", "open", [BEN]), ("other deal", "lost", [CHO])]),
]


def world_of(
    tmp: pytest.TempPathFactory, sink: ThreadedSink, double: HubSpotDouble, config: dict[str, Any], local: Any = ()
) -> HubSpotWorld:
    """A seeded account and a relay that has not started."""
    ids = double.seed(seed_of([*COMPANIES, *MORE]))
    world = HubSpotWorld(Relay(tmp.mktemp("relay"), config, list(local)), double, ids)
    world.sink = sink
    return world


def served(world: HubSpotWorld) -> Iterator[HubSpotWorld]:
    world.relay.start()
    yield world
    assert world.relay.stop() == 0
    world.double.assert_no_violations()


def double_of(**settings: Any) -> HubSpotDouble:
    return HubSpotDouble.start(relay_properties=True, burst_per_10s=DOUBLE_BURST, **settings)


@pytest.fixture(scope="module")
def sink() -> Iterator[ThreadedSink]:
    with ThreadedSink() as sink:
        yield sink


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
    return sorted(r for one in list(world.sink.messages) if word in one.octets for r in one.recipients)


def stage_there(world: HubSpotWorld, external_id: str) -> str:
    return str(world.double.ticket(external_id)["properties"]["hs_pipeline_stage"])


def writes(double: HubSpotDouble, since: int = 0) -> list[str]:
    return [
        f"{one['method']} {one['path']}"
        for one in double.log(since)
        if one["method"] != "GET" and not one["path"].endswith(("/search", "/read"))
    ]


# -- both roles: what people do there ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, sink: ThreadedSink) -> Iterator[HubSpotWorld]:
    with double_of(search_lag_s=0.5) as double:
        config = hubspot_config(sink.port, double)
        config["crm"]["max_wait"] = f"{MAX_WAIT_S}s"
        config["crm"]["directory"]["timeout"] = "2s"
        config["crm"]["tickets"]["stages"] = STAGES
        yield from served(world_of(tmp_path_factory, sink, double, config))


def test_waiting_set_by_hand_and_a_stage_that_means_nothing(both: HubSpotWorld) -> None:
    write(both, "by hand", "<h1@acme0.example>", "kunde@acme0.example")
    both.settle()
    there = both.one("by hand")["external_id"]
    for stage_id, stage in (("2", "WAITING"), ("3", "OTHER")):
        both.double.hand_move(there, stage_id)
        wait_for(lambda stage=stage: both.one("by hand")["stage"] == stage, f"{stage} is not known here")  # type: ignore[misc]
    shown = both.relay.run("tickets", "show", both.one("by hand")["id"], "--language", "en").out
    assert "Somebody at the desk moved" in shown
    write(both, "Re: by hand", "<h2@acme0.example>", "kunde@acme0.example", answers="<h1@acme0.example>")
    both.settle()
    assert both.one("by hand")["stage"] == "NEW"
    assert stage_there(both, there) == "1"


def test_a_ticket_moved_and_merged_here_shows_there(both: HubSpotWorld) -> None:
    for number in (1, 2):
        write(both, f"part {number}", f"<m{number}@acme1.example>", f"k{number}@acme1.example")
    both.settle()
    one, two = both.one("part 1"), both.one("part 2")
    both.relay.run("tickets", "move", one["id"], "対応中")
    both.settle()
    assert stage_there(both, one["external_id"]) == "2"
    both.relay.ask("tickets.merge", id=two["id"], into=one["id"])
    both.settle()
    write(both, "Re: part 2", "<m3@acme1.example>", "k2@acme1.example", answers="<m2@acme1.example>")
    both.settle()
    assert both.one("part 1")["stage"] == "NEW"
    assert stage_there(both, one["external_id"]) == "1"
    assert len(both.double.ticket(one["external_id"])["emails"]) == 2
    assert len(both.double.ticket(two["external_id"])["emails"]) == 1
    assert stage_there(both, two["external_id"]) == "4", "the one that was merged away stands open there"


def test_tickets_merged_there_go_on_as_one(both: HubSpotWorld) -> None:
    for number in (1, 2):
        write(both, f"there {number}", f"<t{number}@acme2.example>", f"k{number}@acme2.example")
    both.settle()
    keep, lose = both.one("there 1")["external_id"], both.one("there 2")["external_id"]
    both.double.merge("tickets", keep, lose)
    write(both, "Re: there 2", "<t3@acme2.example>", "k2@acme2.example", answers="<t2@acme2.example>")
    both.settle()
    assert len(both.double.ticket(keep)["emails"]) == 3
    assert len([one for one in both.double.tickets() if one["properties"]["subject"].startswith("there")]) == 1


def test_companies_and_deals_merged_there_keep_their_customers(both: HubSpotWorld) -> None:
    ids = both.ids
    write(both, "before", "<c1@loser.example>", "k@loser.example")
    both.settle()
    assert copies(both, "<c1@loser.example>") == [CHO]
    both.double.merge("companies", ids["companies"]["keeper"], ids["companies"]["loser"])
    both.double.merge("deals", ids["deals"]["kept deal"], ids["deals"]["other deal"])
    both.double.set_owners(ids["deals"]["loser deal"], [BEN])
    both.relay.ask("crm.refresh")
    time.sleep(0.6)  # HubSpot's search lags so far, and the search is what finds a company
    write(both, "after", "<c2@loser.example>", "k@loser.example")
    write(both, "after, deals", "<c3@deals.example>", "k@deals.example")
    both.settle()
    assert copies(both, "<c2@loser.example>") == [BEN]
    assert both.one("after")["company"] == "keeper"
    assert list(both.there(both.one("after"))["associations"]["companies"]) == [ids["companies"]["keeper"]]
    assert copies(both, "<c3@deals.example>") == [BEN]


HOSTILE = [
    pytest.param("huge", {}, id="100 MB"),
    pytest.param("deep", {}, id="100,000 lists in each other"),
    pytest.param("html", {}, id="a page"),
    pytest.param("redirect", {"location": "http://169.254.169.254/latest/meta-data/"}, id="the cloud's own address"),
]


@pytest.mark.parametrize(("kind", "more"), HOSTILE)
def test_an_answer_nobody_should_give_stops_no_mail(kind: str, more: dict[str, Any], both: HubSpotWorld) -> None:
    number = next(n for n, param in enumerate(HOSTILE) if param.values[0] == kind)
    known, stranger = f"kunde@acme{10 + number}.example", f"kunde@acme{20 + number}.example"
    write(both, f"known {kind}", f"<k1@{kind}.example>", known)
    both.settle()
    fault = both.double.fault(kind, path="/(companies|contacts|deals|owners|associations)", **more)
    try:
        both.relay.ask("crm.refresh")
        begun = time.monotonic()
        write(both, f"known again {kind}", f"<k2@{kind}.example>", known)
        write(both, f"stranger {kind}", f"<s@{kind}.example>", stranger)
        wait_for(lambda: copies(both, f"<k2@{kind}.example>") == [ANN], "not by the last known answer", MAX_WAIT_S + 6)
        wait_for(lambda: bool(copies(both, f"<s@{kind}.example>")), "nobody got it", MAX_WAIT_S + 6)
        assert time.monotonic() - begun < MAX_WAIT_S + 5
        assert copies(both, f"<s@{kind}.example>") == [ALL]
        assert both.double.hits(fault) > 0
    finally:
        both.double.clear_faults()
        both.relay.ask("crm.check")
    both.settle()
    assert "Traceback" not in both.relay.log_path.read_text()


# -- the directory alone ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def owners_there(tmp_path_factory: pytest.TempPathFactory, sink: ThreadedSink) -> Iterator[HubSpotWorld]:
    with double_of() as double:
        config = hubspot_config(sink.port, double, tickets=False)
        config["crm"]["cache_for"] = "1s"  # the list of owners is as old at most
        config["crm"]["directory"]["company_filter"] = {"property": "lifecyclestage", "values": ["customer"]}
        world = world_of(tmp_path_factory, sink, double, config)
        for name in ("acme0", "leaver"):
            double.set_properties("companies", world.ids["companies"][name], {"lifecyclestage": "customer"})
        yield from served(world)


def test_owners_there_and_tickets_here_write_nothing_there(owners_there: HubSpotWorld) -> None:
    """What docs/hubspot.md has people begin with, and companies that have nothing to do with us."""
    world = owners_there
    write(world, "a customer", "<d1@acme0.example>", "k@acme0.example")
    write(world, "no customer", "<d2@acme1.example>", "k@acme1.example")
    world.settle()
    assert copies(world, "<d1@acme0.example>") == [ANN]
    assert copies(world, "<d2@acme1.example>") == [ALL]
    ticket = world.one("a customer")
    assert (ticket["company"], ticket["stage"], ticket["external_id"]) == ("acme0", "NEW", None)
    assert writes(world.double) == []


def test_an_owner_who_left_leaves_it_to_the_next(owners_there: HubSpotWorld) -> None:
    world = owners_there
    write(world, "gus is there", "<o1@leaver.example>", "k@leaver.example")
    world.settle()
    assert copies(world, "<o1@leaver.example>") == [CHO, "gus@staff.test"]
    world.double.owner("gus@staff.test", archived=True)
    time.sleep(1.0)  # crm.cache_for
    told = world.relay.run("crm", "check", "--domain", "leaver.example", "--language", "en").out
    assert f"Mail would go to {CHO}." in told
    write(world, "gus is gone", "<o2@leaver.example>", "k@leaver.example")
    world.settle()
    assert copies(world, "<o2@leaver.example>") == [CHO]


# -- the board alone --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def board_there(tmp_path_factory: pytest.TempPathFactory, sink: ThreadedSink) -> Iterator[HubSpotWorld]:
    with double_of() as double:
        config = hubspot_config(sink.port, double, directory=False)
        config["crm"]["tickets"]["log_mail"] = "inbound"
        yield from served(world_of(tmp_path_factory, sink, double, config, COMPANIES))


def test_companies_here_and_tickets_there_know_people_by_address(board_there: HubSpotWorld) -> None:
    """Ids of our own companies and deals mean nothing there."""
    world = board_there
    write(world, "our own", "<b1@acme0.example>", "Hanako <k@acme0.example>")
    world.settle()
    assert copies(world, "<b1@acme0.example>") == [ANN]
    there = world.there(world.one("our own"))
    contact = next(one for one in world.double.records("contacts") if one["properties"]["email"] == "k@acme0.example")
    links = {kind: list(found) for kind, found in there["associations"].items() if kind != "emails"}
    assert links == {"contacts": [contact["id"]]}
    ann = next(one["id"] for one in world.double.owners() if one["email"] == ANN)
    assert there["properties"]["hubspot_owner_id"] == ann


def test_what_is_logged_is_what_was_asked_for(board_there: HubSpotWorld) -> None:
    world = board_there
    write(world, "logged", "<l1@acme3.example>", "k@acme3.example")
    world.settle()
    write(world, "Re: logged", "<l2@staff.test>", ZOE, to="k@acme3.example", cc=SUPPORT, answers="<l1@acme3.example>")
    world.settle()
    there = world.one("logged")["external_id"]
    assert stage_there(world, there) == "4"
    (logged,) = world.double.ticket(there)["emails"]
    assert logged["hs_email_direction"] == "INCOMING_EMAIL"

    world.relay.config["crm"]["tickets"]["log_mail"] = "none"
    world.relay.write_config()
    reload(world.relay)
    write(world, "Re: logged", "<l3@acme3.example>", "k@acme3.example", answers="<l2@staff.test>")
    world.settle()
    assert stage_there(world, there) == "1"
    assert len(world.double.ticket(there)["emails"]) == 1


# -- webhooks, and changes while serving ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, sink: ThreadedSink) -> Iterator[HubSpotWorld]:
    """HubSpot says what changed; it is asked once an hour."""
    with double_of() as double:
        config = hubspot_config(sink.port, double)
        port = free_port()
        config["web"] = {"host": "127.0.0.1", "port": port, "public_url": f"http://127.0.0.1:{port}"}
        config["crm"]["tickets"] |= {"poll_every": "1h", "webhook_secret": SECRET}
        double.webhook(f"http://127.0.0.1:{port}/hooks/hubspot", SECRET, retry_after_s=0.1)
        yield from served(world_of(tmp_path_factory, sink, double, config))


def test_a_webhook_tells_a_move_at_once(told: HubSpotWorld) -> None:
    write(told, "hook", "<w1@acme0.example>", "k@acme0.example")
    told.settle()
    there = told.one("hook")["external_id"]
    told.double.hand_move(there, "2")
    wait_for(lambda: told.one("hook")["stage"] == "WAITING", "the webhook told nothing", 5)
    sent = told.double.look("webhook_sent")
    assert sent[-1]["status"] == 204
    assert all(one["status"] == 204 for one in sent), sent


def test_a_webhook_that_is_signed_by_somebody_else_is_refused(told: HubSpotWorld) -> None:
    write(told, "forged", "<w2@acme1.example>", "k@acme1.example")
    told.settle()
    # What the relay wrote itself is told as well.
    told.double.wait(lambda double: not double.look("webhook_waiting"))
    before = len(told.double.look("webhook_sent"))
    hook = (f"{told.relay.config['web']['public_url']}/hooks/hubspot", SECRET)
    told.double.webhook(*hook, signs_rightly=False, retry_after_s=0.1)
    told.double.hand_move(told.one("forged")["external_id"], "4")
    told.double.wait(lambda double: not double.look("webhook_waiting"))
    told.double.webhook(*hook, signs_rightly=True)
    refused = {one["status"] for one in told.double.look("webhook_sent")[before:]}
    assert refused == {401}
    assert told.one("forged")["stage"] == "NEW"
    assert "hook.refused" in told.relay.log_path.read_text()


def test_deleted_there_and_restored_there(told: HubSpotWorld) -> None:
    write(told, "deleted", "<w3@acme2.example>", "k@acme2.example")
    told.settle()
    ticket = told.one("deleted")
    told.double.delete("tickets", ticket["external_id"])
    wait_for(lambda: all(one["id"] != ticket["id"] for one in told.relay.tickets()), "still on the board here", 5)
    shown = told.relay.run("tickets", "show", ticket["id"], "--language", "en").out
    assert "trash" in shown
    told.double.restore("tickets", ticket["external_id"])
    wait_for(lambda: any(one["id"] == ticket["id"] for one in told.relay.tickets()), "not back here", 5)
    write(told, "Re: deleted", "<w4@acme2.example>", "k@acme2.example", answers="<w3@acme2.example>")
    told.settle()
    assert told.one("deleted")["messages"] == 2
    assert len(told.there(ticket)["emails"]) == 2


def test_a_new_token_by_sighup_catches_up(told: HubSpotWorld) -> None:
    write(told, "old token", "<s1@acme4.example>", "k@acme4.example")
    told.settle()
    new = "pat-na1-double-1111"
    told.double.set(tokens={new: list(ALL_SCOPES)})
    told.relay.ask("crm.refresh")
    write(told, "refused", "<s2@acme4.example>", "k@acme4.example")
    write(told, "Re: old token", "<s3@acme4.example>", "k@acme4.example", answers="<s1@acme4.example>")
    wait_for(
        lambda: (copies(told, "<s2@acme4.example>"), copies(told, "<s3@acme4.example>")) == ([ANN], [ANN]),
        "the last known owner did not get it",
    )
    told.relay.wait_for_log("crm.token_refused")
    assert told.one("refused")["external_id"] is None
    told.relay.config["crm"]["directory"]["token"] = new
    told.relay.write_config()
    reload(told.relay)
    wait_for(lambda: bool(told.one("refused")["external_id"]), "the refusal of the old token is waited for")
    told.settle()
    assert len(told.there(told.one("refused"))["emails"]) == 1
    assert len(told.there(told.one("old token"))["emails"]) == 2
    assert new not in told.relay.log_path.read_text()


def test_a_scope_that_was_missing_is_mended_and_checked(told: HubSpotWorld) -> None:
    """docs/hubspot.md: after mending it, `crm check` asks anew at once."""
    token = told.relay.config["crm"]["directory"]["token"]
    told.double.set(tokens={token: [one for one in ALL_SCOPES if one != "tickets"]})
    write(told, "no scope", "<p1@acme6.example>", "k@acme6.example")
    told.relay.wait_for_log("crm.scope_missing")
    wait_for(lambda: copies(told, "<p1@acme6.example>") == [ANN], "the mail waits for the ticket")
    assert told.one("no scope")["external_id"] is None
    told.double.set(tokens={token: list(ALL_SCOPES)})
    told.relay.run("crm", "check")
    wait_for(lambda: bool(told.one("no scope")["external_id"]), "the ticket waits on")


def test_another_kind_needs_a_restart_and_changes_nothing(told: HubSpotWorld) -> None:
    before = told.relay.config["crm"]
    offset = told.relay.log_path.stat().st_size
    told.relay.config["crm"] = {"directory": {"kind": "builtin"}, "tickets": {"kind": "builtin"}}
    told.relay.write_config()
    reload(told.relay)
    said = told.relay.log_path.read_text()[offset:]
    assert "crm.directory.kind" in said
    assert "crm.tickets.kind" in said
    write(told, "as before", "<s4@acme5.example>", "k@acme5.example")
    told.settle()
    assert copies(told, "<s4@acme5.example>") == [ANN]
    assert len(told.there(told.one("as before"))["emails"]) == 1
    told.relay.config["crm"] = before
    told.relay.write_config()
    reload(told.relay)
