"""Setting up an account as somebody would who has a token and a terminal: `check`, `crm setup`, paste, adopt, serve."""

import itertools
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from hubspot_double.process import HubSpotDouble
from hubspot_double.settings import ALL_SCOPES
from journeys.companies import COMPANIES
from journeys.hubspot_world import hubspot_config, seed_of
from journeys.relay import Relay, mail
from smtp_sink import ThreadedSink

ANN = "ann@staff.test"
OUR_BOARD = "Support relay"
_PROMPT_S = 30.0


@pytest.fixture
def double() -> Iterator[HubSpotDouble]:
    """An account that nobody has prepared."""
    with HubSpotDouble.start(seed_of(COMPANIES), relay_properties=False) as double:
        yield double
        double.assert_no_violations()


def unfinished(double: HubSpotDouble, sink_port: int = 1, **account: Any) -> dict[str, Any]:
    """The configuration of somebody who has a token and has not yet run ``crm setup``."""
    config = hubspot_config(sink_port, double)
    config["crm"]["tickets"] = {"kind": "hubspot", "poll_every": "1s"}
    config["crm"]["directory"] |= account
    return config


def say(relay: Relay, *arguments: str, expect: int = 0) -> str:
    """What a command tells in English, both streams."""
    done = relay.run(*arguments, "--language", "en", expect=expect)
    return done.out + done.err


def paste(relay: Relay, told: str) -> None:
    """What a person does with the printed lines: they take the place of ``crm.tickets``."""
    lines = iter(told.partition("\ncrm:\n")[2].splitlines())
    block = "\n".join(["crm:", *itertools.takewhile(lambda line: line.startswith("  "), lines)])
    relay.config["crm"]["tickets"] |= yaml.safe_load(block)["crm"]["tickets"]
    relay.write_config()


def account(double: HubSpotDouble) -> dict[str, Any]:
    """What `crm setup` makes, as HubSpot's own API shows it."""

    def get(path: str) -> Any:
        answer = httpx.get(
            double.base_url + path, headers={"Authorization": f"Bearer {double.token}"}, timeout=10, trust_env=False
        )
        return answer.json()

    names = {one: {p["name"] for p in get(f"/crm/properties/2026-03/{one}")["results"]} for one in ("tickets", "deals")}
    boards = get("/crm/pipelines/2026-03/tickets")["results"]
    return {
        "boards": [one["label"] for one in boards],
        "key": "relay_thread_key" in names["tickets"],
        "owners": sorted(name for name in names["deals"] if name.startswith("relay_owner_")),
    }


BLANK = {"boards": ["Support Pipeline"], "key": False, "owners": []}
MADE = {
    "boards": ["Support Pipeline", OUR_BOARD],
    "key": True,
    "owners": ["relay_owner_2", "relay_owner_3", "relay_owner_4"],
}


def writes(double: HubSpotDouble) -> int:
    """Calls that are not readings."""
    return sum(one["method"] != "GET" and not one["path"].endswith(("/search", "/read")) for one in double.log())


def test_a_blank_account_is_made_ready_once(double: HubSpotDouble, tmp_path: Path) -> None:
    relay = Relay(tmp_path, unfinished(double), [])
    refused = say(relay, "check", expect=2)
    assert "supportrelay.yaml:" in refused
    assert "crm setup" in refused

    shown = say(relay, "crm", "setup", "--dry-run")
    assert OUR_BOARD in shown
    assert shown.count("would be made") == 5
    assert account(double) == BLANK
    assert writes(double) == 0

    # A program that forgot --yes makes nothing either.
    assert "--yes" in say(relay, "crm", "setup", expect=1)
    assert writes(double) == 0

    told = say(relay, "crm", "setup", "--yes")
    assert account(double) == MADE
    made = writes(double)
    assert made == 5
    paste(relay, told)
    assert say(relay, "check").strip()

    again = relay.run("crm", "setup", "--yes", "--json").json
    assert {one["state"] for one in again["steps"]} == {"exists"}
    assert writes(double) == made, "the second run made something"
    assert {"pipeline": again["pipeline"], "stages": again["stages"]} == {
        name: relay.config["crm"]["tickets"][name] for name in ("pipeline", "stages")
    }

    checked = say(relay, "crm", "check", "--domain", "acme0.example")
    assert "acme0 deal (" in checked
    assert f"Mail would go to {ANN}." in checked
    assert "FAIL" not in checked


def test_an_account_with_one_pipeline_has_it_proposed(double: HubSpotDouble, tmp_path: Path) -> None:
    """More ticket pipelines need a paid Service Hub; what the stages mean is for a person to read."""
    double.set(most_ticket_pipelines=1)
    relay = Relay(tmp_path, unfinished(double), [])
    told = say(relay, "crm", "setup", "--yes", expect=1)
    assert "0 (Support Pipeline)" in told
    assert "WAITING: Waiting on contact (2), Waiting on us (3)" in told
    assert account(double) == MADE | {"boards": ["Support Pipeline"]}
    paste(relay, told)
    assert relay.config["crm"]["tickets"]["pipeline"] == "0"
    assert "FAIL" not in say(relay, "crm", "check")
    assert "FAIL" not in say(relay, "crm", "setup", "--yes"), "with the pipeline named nothing is missing"


def test_a_missing_scope_and_a_wrong_token_are_named(double: HubSpotDouble, tmp_path: Path) -> None:
    few = [one for one in ALL_SCOPES if one not in {"crm.objects.deals.read", "crm.schemas.deals.write"}]
    double.set(tokens={double.token: few})
    relay = Relay(tmp_path, unfinished(double), [])
    told = say(relay, "crm", "check", expect=1)
    assert "FAIL" in told
    assert "crm.objects.deals.read" in "".join(line for line in told.splitlines() if line.startswith("FAIL"))
    told = say(relay, "crm", "setup", "--yes", expect=1)
    assert "crm.schemas.deals.write" in "".join(line for line in told.splitlines() if line.startswith("FAIL"))
    # The scope was added in HubSpot: nothing remembers the refusal.
    double.set(tokens={double.token: list(ALL_SCOPES)})
    assert "FAIL" not in say(relay, "crm", "setup", "--yes")

    relay.config["crm"]["directory"]["token"] = "pat-na1-some-other-token"
    relay.write_config()
    for command in (["check"], ["setup", "--yes"]):
        told = say(relay, "crm", *command, expect=1)
        assert "401" in told
        assert "some-other-token" not in told


def terminal(relay: Relay, *arguments: str, answer: str) -> tuple[int, str, str]:
    """Run a command at a terminal and type ``answer`` when it asks; status, what it printed, what the terminal saw."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "supportrelay", *arguments, "--language", "en", "--config", str(relay.config_path)],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    os.close(theirs)
    seen = b""
    try:
        deadline = time.monotonic() + _PROMPT_S
        while b"[y/N]" not in seen:
            readable, _, _ = select.select([ours], [], [], max(0.0, deadline - time.monotonic()))
            assert readable, f"no question within {_PROMPT_S} s: {seen!r}"
            seen += os.read(ours, 4096)
        os.write(ours, answer.encode())
        printed, _ = process.communicate(timeout=60)
        while select.select([ours], [], [], 0)[0]:
            try:
                seen += os.read(ours, 4096)
            except OSError:  # EIO: nobody holds the other end any more
                break
    finally:
        process.kill()
        os.close(ours)
    return process.returncode, printed, seen.decode()


def test_a_person_is_asked_and_no_is_the_default(double: HubSpotDouble, tmp_path: Path) -> None:
    relay = Relay(tmp_path, unfinished(double), [])
    code, printed, seen = terminal(relay, "crm", "setup", answer="\n")
    assert code == 1, seen
    assert "would be made" in printed
    assert writes(double) == 0
    code, printed, seen = terminal(relay, "crm", "setup", answer="y\n")
    assert (code, account(double)) == (0, MADE), seen
    assert "\ncrm:\n  tickets:\n" in printed


def test_open_tickets_are_adopted_and_answers_join_them(tmp_path: Path) -> None:
    with (
        ThreadedSink() as sink,
        HubSpotDouble.start(relay_properties=True, search_lag_s=0.0) as double,
    ):
        ids = double.seed(seed_of(COMPANIES))
        first = conversation(double, ids, 0, "<from-hubspot-0@mail.example>", in_property=True)
        second = conversation(double, ids, 1, "<from-hubspot-1@mail.example>", in_property=False)
        closed = conversation(double, ids, 2, "<from-hubspot-2@mail.example>", stage="4")
        waiting = conversation(double, ids, 3, "<from-hubspot-3@mail.example>", stage="2")
        config = hubspot_config(sink.port, double)
        relay = Relay(tmp_path, config, [])

        shown = say(relay, "crm", "setup", "--adopt", "--dry-run")
        assert [one in shown for one in (first, second, waiting, closed)] == [True, True, True, False]
        assert "how is it going 0" in shown
        assert writes(double) == 0
        assert relay.run("tickets", "list", "--json").json == []

        done = relay.run("crm", "setup", "--adopt", "--yes", "--json").json
        assert {one["external_id"] for one in done["adopted"]} == {first, second, waiting}
        assert done["unmarked"] == []
        mirrors = {one["external_id"]: one for one in relay.run("tickets", "list", "--json").json}
        assert {one: mirrors[one]["stage"] for one in mirrors} == {first: "NEW", second: "NEW", waiting: "WAITING"}
        assert mirrors[first]["customer"] == "kunde@acme0.example"
        assert mirrors[first]["company"] == "acme0"
        assert all(double.ticket(one)["properties"]["relay_thread_key"] for one in mirrors)
        again = relay.run("crm", "setup", "--adopt", "--yes", "--json").json
        assert (again["adopted"], again["known"]) == ([], 3)

        relay.start()
        for number in range(4):
            octets = mail(
                sender=f"kunde@acme{number}.example",
                to="support@desk.test",
                subject=f"Re: how is it going {number}",
                message_id=f"<answer-{number}@acme{number}.example>",
                headers={"In-Reply-To": f"<from-hubspot-{number}@mail.example>"},
            )
            relay.send(octets, f"kunde@acme{number}.example", ["support@desk.test"])
        relay.settle(60)
        tickets = {one["external_id"]: one for one in relay.tickets()}
        assert {one["id"] for one in tickets.values()} >= {one["id"] for one in mirrors.values()}
        assert tickets.keys() > {first, second, waiting}
        assert len(tickets) == 4, "the closed one was not adopted: its answer is a new ticket"
        assert {tickets[one]["stage"] for one in (first, second, waiting)} == {"NEW"}
        assert double.ticket(waiting)["properties"]["hs_pipeline_stage"] == "1"
        assert double.ticket(closed)["properties"]["hs_pipeline_stage"] == "4"
        assert len(double.tickets()) == 5
        for external_id in (first, second, waiting):
            assert len(double.ticket(external_id)["emails"]) == 2
        assert {r for one in sink.messages for r in one.recipients} == {ANN}
        assert relay.stop() == 0
        double.assert_no_violations()


def conversation(
    double: HubSpotDouble,
    ids: dict[str, dict[str, str]],
    number: int,
    message_id: str,
    *,
    stage: str = "1",
    in_property: bool = True,
) -> str:
    """A ticket that HubSpot's inbox made of a customer's mail; its id."""
    contact = double.make("contacts", {"email": f"kunde@acme{number}.example", "firstname": "K"})["id"]
    logged = {
        "hs_timestamp": "2026-11-20T09:00:00Z",
        "hs_email_direction": "INCOMING_EMAIL",
        "hs_email_subject": f"how is it going {number}",
        "hs_email_text": "It does not go." if in_property else f"It does not go.\n\nMessage-ID: {message_id}",
    }
    logged |= {"hs_email_message_id": message_id} if in_property else {}
    email = double.make("emails", logged)["id"]
    links = {
        "contacts": [contact],
        "companies": [ids["companies"][f"acme{number}"]],
        "deals": [ids["deals"][f"acme{number} deal"]],
        "emails": [email],
    }
    values = {"subject": f"how is it going {number}", "hs_pipeline": "0", "hs_pipeline_stage": stage}
    return str(double.make("tickets", values, links)["id"])
