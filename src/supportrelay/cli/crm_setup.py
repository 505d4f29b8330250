"""crm setup, crm check: what the relay needs at an outside CRM, and whether it is there."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from supportrelay.cli.asking import Relay, as_json, configured
from supportrelay.cli.printing import local_minute, print_json, print_table, say, say_error
from supportrelay.core.errors import InputError
from supportrelay.i18n import Catalogue, catalogue

__all__ = ["check", "config_lines", "setup", "tell_check"]

_CHECK_WAIT_S = 300.0
_MARKS = {True: "ok  ", False: "FAIL", None: "    "}


@click.command("setup")
@click.option("--adopt", is_flag=True, help="Take over the open tickets that are on the board already.")
@click.option("--dry-run", is_flag=True, help="Show what would be made or adopted; change nothing.")
@click.option("--pipeline", metavar="ID", default="", help="Use this ticket pipeline; make none.")
@click.option(
    "--address", metavar="NAME", default="", help="With --adopt: whose tickets they become; default the first."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@configured
def setup(relay: Relay, adopt: bool, dry_run: bool, pipeline: str, address: str, yes: bool, is_json: bool) -> None:
    """Show what the relay needs at the CRM, make it, and print the lines for the configuration."""
    if adopt and pipeline:
        raise click.UsageError("--adopt takes the pipeline of the configuration")
    if address and not adopt:
        raise click.UsageError("--address goes with --adopt")
    relay.accepts_unfinished = True
    if adopt:
        _adopt(relay, address, dry_run=dry_run, is_sure=yes, is_json=is_json)
    else:
        _set_up(relay, pipeline, dry_run=dry_run, is_sure=yes, is_json=is_json)


def _set_up(relay: Relay, pipeline: str, *, dry_run: bool, is_sure: bool, is_json: bool) -> None:
    words = catalogue(relay.language)
    found = relay.ask_here("crm.setup", pipeline=pipeline, dry_run=True)
    if found["to_make"] and not dry_run:
        if not is_json:
            _tell_steps(found["steps"], words)
        if is_sure or _agreed(words.text("crm_setup.ask")):
            found = relay.ask_here("crm.setup", pipeline=pipeline, dry_run=False)
        else:
            raise InputError(words.text("crm_setup.nothing_made"))
    if is_json:
        print_json(found)
    else:
        _tell_setup(found, words)
    if any(step["state"] == "cannot" for step in found["steps"]):
        raise InputError(words.text("crm_setup.incomplete"))


def _agreed(question: str) -> bool:
    """Ask a person; a program has to say it beforehand."""
    if not sys.stdin.isatty():
        raise InputError("nobody to ask: give --yes to make this, or --dry-run to see it only")
    return click.confirm(question, default=False, err=True)


def _tell_setup(found: Mapping[str, Any], words: Catalogue) -> None:
    _tell_steps(found["steps"], words)
    say("")
    say(words.text("crm_setup.scopes"))
    for scope in found["scopes"]:
        say(f"  {scope}")
    say(words.text("crm_setup.scopes_note"))
    lines = config_lines(found)
    if lines:
        say("")
        say(words.text("crm_setup.check_proposal" if found["is_proposal"] else "crm_setup.paste"))
        if found["is_proposal"]:
            for line in _stages_told(found, words):
                say(f"  {line}")
        say("")
        for line in lines:
            say(line)
    elif found["tickets"] != "builtin" and found["pipelines"]:
        say(words.text("crm_setup.pipelines"))
        for one in found["pipelines"]:
            say(f"  {one['id']}  {one['label']}: " + ", ".join(f"{s['label']} ({s['id']})" for s in one["stages"]))


def _tell_steps(steps: Sequence[Mapping[str, Any]], words: Catalogue) -> None:
    for step in steps:
        mark = _MARKS[{"exists": True, "made": True, "cannot": False}.get(step["state"])]
        say(f"{mark}  {_step_told(step, words)}")


def _step_told(step: Mapping[str, Any], words: Catalogue) -> str:
    thing = words.text(f"crm_setup.what.{step['what']}", name=step["name"])
    told = words.text(f"crm_setup.state.{step['state']}", thing=thing, id=step.get("id", ""))
    if not step["why"]:
        return told
    return told + " " + words.text(f"crm_setup.why.{step['why']}", **{k: v for k, v in step.items() if k != "why"})


def _stages_told(found: Mapping[str, Any], words: Catalogue) -> Iterator[str]:
    """Which stage of the board would mean what, by its label."""
    board: Mapping[str, Any] = next(
        (one for one in found["pipelines"] if one["id"] == found["pipeline"]), {"stages": []}
    )
    labels = {stage["id"]: stage["label"] for stage in board["stages"]}
    for stage, ids in found["stages"].items():
        yield f"{words.text(f'stage.{stage}')}: " + ", ".join(f"{labels.get(one, '')} ({one})" for one in ids)


def config_lines(found: Mapping[str, Any]) -> list[str]:
    """The lines for ``crm`` in the configuration; none while the board is not known."""
    from supportrelay.config.reference import print_yaml

    if not found.get("pipeline") or not found.get("stages"):
        return []
    lines = [
        "crm:",
        "  tickets:",
        "    kind: hubspot",
        f"    pipeline: {print_yaml(found['pipeline'])}",
        f"    stages: {print_yaml(found['stages'])}",
    ]
    if found.get("key_property") and found["key_property"] != "relay_thread_key":
        lines.append(f"    key_property: {print_yaml(found['key_property'])}")
    return lines


def _adopt(relay: Relay, address: str, *, dry_run: bool, is_sure: bool, is_json: bool) -> None:
    words = catalogue(relay.language)
    found = relay.ask_here("crm.adopt", address=address, dry_run=True)
    is_done = False
    if found["adopted"] and not dry_run:
        if not is_json:
            _tell_adoption(found, words, is_done=False)
        if not is_sure and not _agreed(words.text("crm_adopt.ask", count=len(found["adopted"]))):
            raise InputError(words.text("crm_adopt.nothing_done"))
        found, is_done = relay.ask_here("crm.adopt", address=address, dry_run=False), True
    if is_json:
        print_json(found)
    else:
        _tell_adoption(found, words, is_done=is_done)
    if found["unmarked"]:
        raise InputError(words.text("crm_adopt.incomplete", count=len(found["unmarked"])))


def _tell_adoption(found: Mapping[str, Any], words: Catalogue, *, is_done: bool) -> None:
    if not is_done:
        headings = [words.text(f"head.{name}") for name in ("id", "subject", "customer")]
        rows = [(one["external_id"], one["subject"], one["customer"]) for one in found["adopted"]]
        print_table(headings, rows, empty=words.text("empty.adoptable"))
    tense = "did" if is_done else "would"
    say(words.text(f"crm_adopt.{tense}", count=len(found["adopted"]), known=found["known"], address=found["address"]))
    for one in found["unmarked"]:
        say_error(words.text("crm_adopt.unmarked", id=one["external_id"], cause=one["cause"]))


@click.command("check")
@click.option(
    "--domain", metavar="DOMAIN", default="", help="Also look up this domain or address: whose customer is it?"
)
@as_json
@configured
def check(relay: Relay, domain: str, is_json: bool) -> None:
    """Ask the CRM, and tell whether it fits the configuration."""
    relay.accepts_unfinished = True
    found = relay.ask("crm.check", domain=domain, timeout_s=_CHECK_WAIT_S)
    if is_json:
        print_json(found)
        is_good = not found["problems"] and all(one["ok"] is not False for one in found["findings"])
    else:
        is_good = tell_check(found, catalogue(relay.language))
    if not is_good:
        raise InputError("the CRM does not fit the configuration")


def tell_check(found: Mapping[str, Any], words: Catalogue) -> bool:
    """Print what ``crm.check`` found; False when something of it is wrong."""
    counts = {name: found.get(name, "") for name in ("companies", "deals", "owners")}
    if found["kind"] == "builtin":
        say(words.text("done.crm_check", kind=found["kind"], **counts))
    else:
        say(words.text("crm_check.kinds", directory=found["kind"], tickets=found["tickets"], owners=counts["owners"]))
    for finding in found["findings"]:
        say(f"{_MARKS[finding['ok']]}  {_finding_told(finding, words)}")
    for line in _desk_told(found.get("desk"), words):
        say(f"      {line}")
    for line in _sample_told(found.get("sample"), words):
        say(line)
    for problem in found["problems"]:
        say_error(problem)
    return not found["problems"] and all(one["ok"] is not False for one in found["findings"])


def _finding_told(finding: Mapping[str, Any], words: Catalogue) -> str:
    if finding["code"] == "step":
        return _step_told(finding, words)
    values = {name: value for name, value in finding.items() if name not in {"code", "ok"}}
    for name in ("until", "since"):
        if name in values:
            values[name] = local_minute(values[name])
    return words.text(f"crm_check.{finding['code']}", **values)


def _desk_told(desk: Mapping[str, Any] | None, words: Catalogue) -> Iterator[str]:
    if desk is None:
        return
    yield words.text(
        "crm_check.desk" if desk["work"] else "crm_check.desk_idle",
        tickets=desk["tickets"],
        work=desk["work"],
        failing=desk["failing"],
        oldest=local_minute(desk["oldest_at"]),
    )
    for one in desk["errors"]:
        yield words.text("crm_check.desk_error", count=one["tickets"], ticket=one["example"], error=one["error"])


def _sample_told(sample: Mapping[str, Any] | None, words: Catalogue) -> Iterator[str]:
    if sample is None:
        return
    yield ""
    yield words.text("crm_check.sample", asked=sample["asked"])
    for company in sample["companies"]:
        yield f"  {company['name']} ({company['id']})"
        for deal in company["deals"]:
            owners = ", ".join(deal["owners"]) or words.text("story.nobody_word")
            state = words.text(f"deal_state.{deal['state']}")
            yield f"    {deal['name']} ({deal['id']}), {state}: {owners}"
            if deal["owners_gone"]:
                yield "      " + words.text("crm_check.owners_gone", count=deal["owners_gone"])
    for sentence in words.reasons(sample["reasons"]):
        yield f"  {sentence}"
    people = ", ".join(sample["owners"])
    yield "  " + (words.text("crm_check.gets", owners=people) if people else words.text("crm_check.gets_allmember"))
