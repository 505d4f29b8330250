"""absent: an owner is away, or back."""

from datetime import date, datetime, time, timedelta

import click

from supportrelay.cli.asking import Relay, as_json, configured
from supportrelay.cli.printing import local_minute, print_json, print_table, say
from supportrelay.i18n import Catalogue, catalogue

__all__ = ["absent"]


class Until(click.ParamType):  # type: ignore[type-arg]  # not subscriptable in older click
    """A day, which is the last day away, or an instant; RFC 3339, this machine's time zone when it names none."""

    name = "DATE"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """An RFC 3339 instant."""
        try:
            if len(value) == len("2026-01-31"):
                last_day = date.fromisoformat(value)
                return datetime.combine(last_day + timedelta(days=1), time()).astimezone().isoformat()
            return datetime.fromisoformat(value).astimezone().isoformat()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no day (2026-01-31) and no time (2026-01-31T17:00)", param, ctx)


@click.command()
@click.argument("address", required=False)
@click.option("--until", type=Until(), metavar="DATE", help="Last day away, or the time of being back.")
@click.option("--back", is_flag=True, help="The owner is back.")
@as_json
@configured
def absent(relay: Relay, address: str | None, until: str | None, back: bool, is_json: bool) -> None:
    """Say that owner ADDRESS is away: mail goes to the others. Without ADDRESS: list who is away."""
    if until and back:
        raise click.UsageError("--until and --back exclude each other")
    if address is None:
        if until or back:
            raise click.UsageError("who?")
        _list(relay, is_json)
        return
    set_to = relay.ask("absent.set", address=address, until=until, back=back)
    if is_json:
        print_json(set_to)
        return
    code = "done.back" if back else "done.absent_until" if until else "done.absent"
    words = catalogue(relay.language)
    say(words.text(code, address=set_to["address"], until=_until(set_to["until"], words)))


def _list(relay: Relay, is_json: bool) -> None:
    found = relay.ask("absent.list")
    if is_json:
        print_json(found)
        return
    words = catalogue(relay.language)
    print_table(
        [words.text("head.address_of"), words.text("head.until")],
        [(one["address"], _until(one["until"], words)) for one in found],
        empty=words.text("empty.absent"),
    )


def _until(instant: str | None, words: Catalogue) -> str:
    """As it was asked for: the last day away, or the time of being back."""
    if not instant:
        return words.text("until.open")
    back = datetime.fromisoformat(instant).astimezone()
    if back.time() == time():
        return words.text("until.day", day=(back - timedelta(days=1)).date())
    return local_minute(instant)
