"""Every condition and every action of rules (DESIGN 7) through the running daemon: where it decides and where it not.

One daemon has a rule for each row. A row's mails carry its name in X-Case and each rule asks for its own name, so that
no rule sees another row's mail. Before a mail is sent ``explain`` is asked about it; what it said must come true.
"""

import base64
import os
import signal
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from journeys.relay import OURS, STRANGER, Relay, free_port
from journeys.rule_desk import (
    ANN,
    CHO,
    COLLEGE,
    COMPANIES,
    DAN,
    KUNDE,
    SUPPORT,
    ZOE,
    Outcome,
    RuleDesk,
    rules_config,
)
from journeys.rule_rows import (
    ALL_RULES,
    ASKED,
    AUTO_REPLY,
    DONE,
    HOURS,
    INBOUND,
    OUTBOUND,
    SPAM,
    VACATION,
    Asked,
    Done,
)
from journeys.traffic import is_own_mail
from smtp_sink import ThreadedSink
from supportrelay.config.rule_actions import ActionsConfig, RouteConfig, TicketConfig
from supportrelay.core.rule_conditions import CONDITIONS, RULE_DIRECTIONS


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RuleDesk]:
    folder = tmp_path_factory.mktemp("rules")
    (folder / "banner").mkdir()
    (folder / "banner" / "vip.txt.j2").write_text("*** VIP DESK {{ ticket }} ***\n")
    with ThreadedSink() as sink:
        sink.settings.sets_aside = is_own_mail
        relay = Relay(folder, rules_config(sink.port, ALL_RULES), COMPANIES)
        relay.start()
        yield RuleDesk(relay, sink)
        assert relay.stop() == 0


@pytest.mark.parametrize("asked", [pytest.param(one, id=one.id) for one in ASKED])
def test_a_condition_decides_for_the_one_mail_and_not_for_the_other(asked: Asked, desk: RuleDesk) -> None:
    yes = desk.send(replace(asked.yes, case=asked.id))
    no = desk.send(replace(asked.no, case=asked.id))

    assert yes.rules == [f"asks {asked.id}"]
    assert asked.added in yes.copies
    assert asked.id in yes.decision["tags"]
    assert no.rules == []
    assert asked.added not in no.copies
    assert asked.id not in no.decision["tags"]


def test_office_hours_are_asked_when_the_mail_comes(desk: RuleDesk) -> None:
    now, not_now = (desk.send(replace(INBOUND, case=asked.id)) for asked in HOURS)

    assert now.rules == ["asks hours-now"]
    assert set(now.copies) == {ANN, "hours-now@staff.test"}
    assert not_now.rules == []
    assert set(not_now.copies) == {ANN}


def test_every_condition_and_every_direction_has_its_rows() -> None:
    tried = {name for asked in [*ASKED, *HOURS] for name in asked.when}

    assert tried == {*CONDITIONS, "all", "any", "not"}
    assert {asked.id for asked in ASKED} >= {f"direction-{direction}" for direction in RULE_DIRECTIONS}


def test_every_action_has_its_rows() -> None:
    done = [one.then for one in DONE if isinstance(one.then, dict)]
    tried = {name for then in done for name in then}
    on_ticket = {name for then in done if isinstance(then.get("ticket"), dict) for name in then["ticket"]}
    routes = {name for then in done if isinstance(then.get("route_to"), dict) for name in then["route_to"]}
    words = {then["route_to"] for then in done if isinstance(then.get("route_to"), str)}

    assert tried == {field.alias or name for name, field in ActionsConfig.model_fields.items()} - NOT_YET
    assert on_ticket | {"always_new"} == set(TicketConfig.model_fields)
    assert routes | words >= set(RouteConfig.model_fields)


NOT_YET = {"auto_reply", "sequence"}


@pytest.mark.parametrize("done", [pytest.param(one, id=one.id) for one in DONE])
def test_an_action_is_done_where_its_rule_matches_and_nowhere_else(done: Done, desk: RuleDesk) -> None:
    here = desk.send(replace(done.letter, case=done.id))
    elsewhere = desk.send(done.letter)

    assert here.rules[:1] == [f"does {done.id}"]
    assert (here.decision["disposition"], here.life["state"]) == (done.disposition, done.state)
    assert set(here.copies) == {one.lower() for one in done.gets}
    assert (here.ticket["stage"] if here.ticket else "") == done.stage
    assert here.decision["ticket"]["priority"] == done.priority
    if ANN in here.copies:
        assert here.header(ANN, "X-Supportrelay-Tags") == done.tags
        _has_banner(here, done.banner)
    assert elsewhere.rules == []
    assert elsewhere.decision["disposition"] == "relay"
    assert set(elsewhere.copies) == done.usually
    assert elsewhere.decision["ticket"]["priority"] is None
    assert (elsewhere.ticket["stage"] if elsewhere.ticket else "") == done.usual_stage


def _has_banner(outcome: Outcome, words: str) -> None:
    text = outcome.text(ANN)
    if words:
        assert words in text
    for other in {"support 案内", "VIP DESK"} - {words}:
        assert other not in text


def test_a_priority_stands_on_the_ticket(desk: RuleDesk) -> None:
    ticket = desk.send(replace(INBOUND, case="ticket-high")).ticket

    assert ticket is not None
    assert desk.relay.ask("tickets.show", id=ticket["id"])["priority"] == "high"


def test_the_copy_says_that_a_rule_chose_its_readers(desk: RuleDesk) -> None:
    usual, routed, added = (desk.send(replace(INBOUND, case=case)) for case in ("", "route-to-team", "also-to"))

    assert usual.header(ANN, "X-Supportrelay-Reason") == "owner"
    assert routed.header(CHO, "X-Supportrelay-Reason") == "rule"
    assert added.header(ANN, "X-Supportrelay-Reason") == "owner"
    assert "(RU)" in routed.text(CHO)


def test_people_outside_get_the_mail_as_it_came(desk: RuleDesk) -> None:
    """DESIGN 3: recipients outside our domains and case addresses get the original octets."""
    for case, outside in (
        ("also-to", "out@partner.example"),
        ("route-to-addresses", "out@partner.example"),
        ("rewrite-recipient", "case@crm.example"),
    ):
        outcome = desk.send(replace(INBOUND, case=case))
        assert outcome.copies[outside].octets.endswith(outcome.octets), case
        assert not outcome.header(outside, "X-Supportrelay-Ticket")
        inside = next(one for one in outcome.copies if one.endswith("@staff.test"))
        assert "案内".encode() in outcome.copies[inside].octets or b"base64" in outcome.copies[inside].octets


# --- threads, spam, automatic answers ------------------------------------------------------------------------------


def test_always_new_makes_a_ticket_where_the_mail_would_join_one(desk: RuleDesk) -> None:
    first = desk.send(replace(INBOUND, case="always-new"))
    answer = replace(first.letter, message_id="", answers=first.letter.message_id)
    joined = desk.send(replace(answer, subject="Re: a question"))
    anew = desk.send(replace(answer, subject="Re: another matter"))

    assert first.ticket is not None
    assert joined.ticket is not None
    assert anew.ticket is not None
    assert joined.ticket["id"] == first.ticket["id"]
    assert anew.ticket["id"] != first.ticket["id"]
    assert desk.relay.ask("tickets.show", id=anew.ticket["id"])["related"] == first.ticket["id"]


def test_no_ticket_means_that_none_is_joined_either(desk: RuleDesk) -> None:
    first = desk.send(replace(INBOUND, case="none-in-thread"))
    answer = replace(first.letter, message_id="", answers=first.letter.message_id, subject="Re: off the record")
    beside = desk.send(answer)

    assert beside.ticket is None
    assert set(beside.copies) == {ANN}
    assert first.ticket is not None
    assert _messages(desk, first.ticket["id"]) == 1


def _messages(desk: RuleDesk, label: str) -> int:
    return next(int(ticket["messages"]) for ticket in desk.relay.tickets() if ticket["id"] == label)


def test_a_rule_moves_the_ticket_that_the_mail_joins(desk: RuleDesk) -> None:
    first = desk.send(replace(INBOUND, case="closes-in-thread"))
    answer = replace(first.letter, message_id="", answers=first.letter.message_id)
    kept = desk.send(replace(answer, subject="Re: thanks"))
    moved = desk.send(replace(answer, subject="Re: done"))

    assert first.ticket is not None
    assert kept.ticket is not None
    assert moved.ticket is not None
    assert kept.ticket["id"] == moved.ticket["id"] == first.ticket["id"]
    assert (kept.ticket["stage"], moved.ticket["stage"]) == ("NEW", "CLOSED")
    assert desk.relay.ask("tickets.show", id=first.ticket["id"])["priority"] == "low"


def test_whom_a_rule_names_gets_automatic_answers_too(desk: RuleDesk) -> None:
    """An absence notice on a ticket goes to nobody, unless a rule says to whom."""
    first = desk.send(replace(INBOUND, case="absence-in-thread"))
    notice = desk.send(replace(VACATION, case="absence-in-thread", answers=first.letter.message_id))
    answer = desk.send(replace(AUTO_REPLY, case="absence-in-thread", answers=first.letter.message_id))
    other = desk.send(replace(VACATION, answers=first.letter.message_id))

    assert first.ticket is not None
    assert notice.ticket is not None
    assert notice.ticket["id"] == first.ticket["id"]
    assert set(notice.copies) == {ZOE}
    assert set(answer.copies) == {ANN}
    assert other.copies == {}


def test_the_customer_of_a_ticket_is_a_known_contact_whoever_writes(desk: RuleDesk) -> None:
    """`known_contact` asks about the customer, which is the ticket's when the mail joins one."""
    first = desk.send(replace(INBOUND, case="contact-in-thread", cc="private@free.example"))
    answer = replace(first.letter, message_id="", answers=first.letter.message_id, cc="")
    by_participant = desk.send(replace(answer, sender="private@free.example"))
    by_colleague = desk.send(replace(answer, sender=ZOE, peer=OURS))
    unknown = desk.send(replace(INBOUND, case="contact-in-thread", sender=COLLEGE))

    assert set(first.copies) == {ANN, ZOE}
    assert by_participant.decision["customer"] == KUNDE
    assert by_participant.rules == ["contacts of a thread"]
    assert by_colleague.rules == ["contacts of a thread"]
    assert unknown.rules == []


def test_a_rule_that_names_spam_decides_about_it(desk: RuleDesk) -> None:
    ignored = desk.send(replace(SPAM, case="spam-ignored"))
    held = desk.send(replace(SPAM, case="spam-unnamed"))

    assert ignored.life["state"] == "ignored"
    assert (held.life["state"], held.decision["direction"]) == ("held", "spam")
    assert held.rules == [], "a rule that says nothing of spam does not decide about it"
    assert held.copies == {}


def test_the_author_gets_no_copy_of_his_own_mail_by_a_rule_either(desk: RuleDesk) -> None:
    """DESIGN 2: the author gets no copy of his own mail; one copy a person."""
    by_kunde = desk.send(replace(INBOUND, case="boss"))
    by_boss = desk.send(replace(OUTBOUND, case="boss"))
    boss_in_cc = desk.send(replace(INBOUND, case="boss", cc=ZOE))

    assert set(by_kunde.copies) == {ANN, ZOE}
    assert set(by_boss.copies) == {ANN}
    assert set(boss_in_cc.copies) == {ANN}


def test_recipients_shown_in_cc_are_those_who_get_it(desk: RuleDesk) -> None:
    letter = replace(INBOUND, to="shown@desk.test", rcpt=("shown@desk.test",))
    usual = desk.send(letter)
    routed = desk.send(replace(letter, case="shown"))

    assert usual.header(ANN, "Cc") == ANN
    assert routed.header(CHO, "Cc") == CHO
    assert "(RU: by a rule)" in routed.text(CHO)


# --- held and ignored mail, the door --------------------------------------------------------------------------------


def test_held_mail_goes_its_way_when_a_person_releases_it(desk: RuleDesk) -> None:
    held = desk.send(replace(INBOUND, case="hold"))
    queue_id = held.life["queue_id"]
    listed = {entry["queue_id"]: entry for entry in desk.relay.run("queue", "list", "--json").json}
    before = len(desk.sink.messages)

    desk.relay.run("queue", "release", queue_id)
    desk.relay.settle()

    assert listed[queue_id]["state"] == "held"
    assert [one.recipients for one in desk.sink.messages[before:]] == [(ANN,)]
    life = desk.relay.ask("mail.trace", id=queue_id)
    assert life["state"] == "delivered"
    assert life["decision"]["ticket"]["stage"] == "NEW"
    assert any(change["what"] == "message.released" for change in life["changes"])
    assert any(ticket["id"] == life["decision"]["ticket"]["id"] for ticket in desk.relay.tickets())


def test_ignored_mail_is_kept_and_listed(desk: RuleDesk) -> None:
    ignored = desk.send(replace(INBOUND, case="ignore"))
    listed = desk.relay.run("queue", "list", "--state", "ignored", "--json").json
    raw = desk.relay.ask("queue.raw", queue_id=ignored.life["queue_id"])

    assert ignored.life["queue_id"] in {entry["queue_id"] for entry in listed}
    assert base64.b64decode(raw["octets"]) == ignored.octets


def test_the_door_knows_the_addresses_of_rules_and_no_others(desk: RuleDesk) -> None:
    with smtplib.SMTP("127.0.0.1", desk.relay.port, source_address=(STRANGER, 0), timeout=20) as client:
        client.helo("mail.example")
        client.mail(KUNDE)
        said = {path: client.rcpt(path) for path in ("orders@desk.test", "any@orders.test", "other@desk.test")}

    assert [code for code, _ in said.values()] == [250, 250, 550]
    assert b"5.7.1" in said["other@desk.test"][1]


# --- told to people ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["en", "ja"])
def test_explain_and_trace_name_the_rule(language: str, desk: RuleDesk, tmp_path: Path) -> None:
    letter = replace(INBOUND, case="route-to-team", message_id=f"<told.{language}@mail.example>")
    file = tmp_path / "mail.eml"
    file.write_bytes(letter.octets())
    explained = desk.relay.run("explain", str(file), "--language", language)
    desk.send(letter)
    traced = desk.relay.run("trace", letter.message_id, "--language", language)

    for answer in (explained, traced):
        assert "does route-to-team" in answer.out
        assert CHO in answer.out
        assert DAN in answer.out


# --- a file with mistakes -------------------------------------------------------------------------------------------

FAILING = {
    "name": "urgent to the second line",
    "when": {"subject": "/urgent/i"},
    "then": {"route_to": {"team": "second-line"}},
    "examples": [
        {"mail": f"From: {KUNDE}\nTo: {SUPPORT}\nSubject: URGENT\n\nhelp", "expect": {"recipients": [CHO, DAN]}},
        {"mail": f"From: {KUNDE}\nTo: {SUPPORT}\nSubject: no hurry\n\nhelp"},
    ],
}


_MISTAKES: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"name": "r0", "then": {"auto_reply": {"text": "thanks"}}}, ("rules[0].then.auto_reply", "not in this version")),
    ({"name": "r1", "then": {"sequence": "offer"}}, ("rules[1].then.sequence", "not in this version")),
    ({"name": "r2", "when": {"weather": "fine"}, "then": "hold"}, ("rules[2].when.weather",)),
    ({"name": "r3", "then": {"forward": ANN}}, ("rules[3].then.forward",)),
    ({"name": "r4", "when": {"from": "kunde"}, "then": "hold"}, ("rules[4].when.from", "fits no address")),
    ({"name": "r5", "then": {"continue": True}}, ("rules[5].then", "has no effect")),
]
_CONFLICTS: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"name": "r0", "then": {"route_to": {"team": "third-line"}}}, ("rules[0].then.route_to.team", "second-line")),
    ({"name": "r1", "when": {"body": "/(/"}, "then": "hold"}, ("rules[1].when.body",)),
    ({"name": "r2", "then": {"also_to": SUPPORT}}, ("rules[2].then.also_to", "round in a circle")),
]
_BAD_EXAMPLES: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    (FAILING, ("rule urgent to the second line, example 2", "expected rule")),
    ({"name": "r1", "when": {"subject": "a"}, "then": {"banner": "gold"}}, ("rule r1", "no banner 'gold'")),
]


@pytest.mark.parametrize("command", ["check", "serve"])
@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(_MISTAKES, id="mistakes"),
        pytest.param(_CONFLICTS, id="conflicts"),
        pytest.param(_BAD_EXAMPLES, id="examples"),
    ],
)
def test_a_file_with_mistakes_in_its_rules_is_refused(
    wrong: list[tuple[dict[str, Any], tuple[str, ...]]], command: str, tmp_path: Path
) -> None:
    config = rules_config(free_port(), [rule for rule, _ in wrong])
    config |= {"listen": [{"host": "127.0.0.1", "port": free_port()}], "web": {"port": free_port()}}
    config["storage"] = {"url": "sqlite:///state/relay.db"}
    file = tmp_path / "supportrelay.yaml"
    file.write_text(yaml.safe_dump(config, allow_unicode=True, sort_keys=False))
    done = subprocess.run(
        [sys.executable, "-m", "supportrelay", command, "--config", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    lines = [line for line in done.stderr.splitlines() if line.startswith(str(file))]
    missing = [words for _, words in wrong if not any(all(word in line for word in words) for line in lines)]
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert missing == [], done.stderr
    assert not (tmp_path / "state").exists(), "nothing was begun"


def test_a_reload_takes_new_rules_and_refuses_a_file_whose_examples_fail(desk: RuleDesk) -> None:
    relay = desk.relay
    before = desk.send(replace(INBOUND, case="reloaded"))

    offset = _reload(relay, [FAILING, *ALL_RULES])
    relay.wait_for_log("config.refused", offset)
    assert "example 2" in relay.log_path.read_text()[offset:]
    refused = desk.send(replace(INBOUND, case="reloaded", subject="urgent"))

    fresh = {"name": "reloaded", "when": {"recipient": "fresh@desk.test"}, "then": {"route_to": CHO}}
    offset = _reload(relay, [fresh, *ALL_RULES])
    relay.wait_for_log("config.reloaded", offset)
    taken = desk.send(replace(INBOUND, rcpt=("fresh@desk.test",)))

    assert before.rules == refused.rules == []
    assert set(refused.copies) == {ANN}
    assert taken.rules == ["reloaded"]
    assert set(taken.copies) == {CHO}


def _reload(relay: Relay, rules: list[dict[str, Any]]) -> int:
    """Write the rules and ask the daemon to read them; returns where its log stood."""
    relay.config["rules"] = rules
    relay.write_config()
    offset = relay.log_path.stat().st_size
    assert relay.process is not None
    os.kill(relay.process.pid, signal.SIGHUP)
    return offset
