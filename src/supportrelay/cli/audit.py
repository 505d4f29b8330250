"""audit: whether the record of a period adds up."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import click

from supportrelay.cli.asking import Relay, as_json, configured
from supportrelay.cli.printing import local_minute, print_json, print_table, say
from supportrelay.i18n import Catalogue, catalogue

__all__ = ["audit"]

_USUAL_DAYS = 7


class Instant(click.ParamType):  # type: ignore[type-arg]  # not subscriptable in older click
    """A day (its beginning) or an instant; this machine's time zone when it names none."""

    name = "DATE"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Aware."""
        try:
            if len(value) == len("2026-01-31"):
                return datetime.combine(date.fromisoformat(value), time()).astimezone()
            return datetime.fromisoformat(value).astimezone()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no day (2026-01-31) and no time (2026-01-31T17:00)", param, ctx)


@click.command()
@click.option("--since", type=Instant(), metavar="DATE", help="Accepted from then on; else the last seven days.")
@click.option("--until", type=Instant(), metavar="DATE", help="Accepted before then; else up to now.")
@click.option("--recipients", "with_recipients", is_flag=True, help="The account of each recipient too.")
@as_json
@configured
def audit(relay: Relay, since: datetime | None, until: datetime | None, with_recipients: bool, is_json: bool) -> None:
    """Prove that every accepted message is in exactly one state, and name what does not add up.

    Reads the store beside the traffic and changes nothing. Exit status 1 when something is out of line.
    """
    from supportrelay.admin.state import act_as_owner
    from supportrelay.edge.store.audit import audit as account

    path = relay.config.storage.path
    act_as_owner(relay.state_directory)
    now = datetime.now(UTC)
    report = account(path, since or now - timedelta(days=_USUAL_DAYS), until or now, now)
    told = report.to_json()
    if is_json:
        print_json(told)
    else:
        _tell(told, catalogue(relay.language), with_recipients=with_recipients)
    if not report.adds_up:
        raise SystemExit(1)


def _tell(told: dict[str, Any], words: Catalogue, *, with_recipients: bool) -> None:
    period = {"since": local_minute(told["since"]), "until": local_minute(told["until"])}
    say(words.text("audit.accepted", count=told["accepted"], **period))
    print_table(
        [words.text("head.state"), words.text("head.messages")],
        [(words.text(f"message_state.{state}"), count) for state, count in told["states"].items()],
    )
    if with_recipients:
        say("")
        print_table(
            [words.text("head.recipient"), words.text("head.state"), words.text("head.deliveries")],
            [
                (recipient, words.text(f"delivery_state.{state}"), count)
                for recipient, states in told["recipients"].items()
                for state, count in states.items()
            ],
        )
    say("")
    for finding in told["findings"]:
        values = {"queue_id": finding["queue_id"] or "-"} | finding["values"]
        say(words.text(f"audit.{finding['code']}", **{name: str(value) for name, value in values.items()}))
    if told["finding_count"] > len(told["findings"]):
        say(words.text("audit.more", count=told["finding_count"] - len(told["findings"])))
    say(words.text("audit.adds_up" if told["adds_up"] else "audit.does_not", count=told["finding_count"]))
