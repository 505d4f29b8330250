"""Operations of ``verify``: sign a probe, and remove its traces."""

import secrets
from datetime import datetime
from email.utils import format_datetime
from typing import Any

from supportrelay.admin.context import OperationContext
from supportrelay.admin.views import known_messages
from supportrelay.admin.wording import read_address
from supportrelay.core.errors import InputError
from supportrelay.core.settings import SupportAddress
from supportrelay.core.ticket import ticket_label
from supportrelay.core.token import delivery_token, sign_probe

__all__ = ["begin", "clean", "way_back"]

# RFC 2606: nobody can ever be a customer from here.
_AUTHOR = "probe@supportrelay-verify.example"
_SECONDS_A_DAY = 86400


async def begin(context: OperationContext, reader: str, address: str | None = None) -> dict[str, Any]:
    """A signed probe to send: ``address, from, subject, date, message_id, mark, listener`` and what cannot be known.

    ``unknowable`` is ``allmember`` or ``case_address`` when the address asked for is one, else "".
    """
    read_address(reader)
    cases = _case_addresses(context)
    asked = read_address(address) if address else context.desk.addresses[0].address
    support = _support_address(context, asked)
    answer: dict[str, Any] = {"address": asked, "unknowable": "", "allmember": [], "case_addresses": cases}
    if support is None:
        answer["unknowable"] = _unknowable(context, asked, cases)
        return answer
    keys = await context.store.signing_keys()
    now = context.now()
    word = secrets.token_hex(8)
    listen = next((one for one in context.config.listen if one.role == "mx"), context.config.listen[0])
    return answer | {
        "allmember": list(support.allmember),
        "from": _AUTHOR,
        "subject": f"supportrelay verify {word}",
        "date": format_datetime(now),
        "message_id": f"<verify.{word}@supportrelay-verify.example>",
        "mark": sign_probe(keys[0], reader, _day(now)),
        "listener": str(listen.path or f"{listen.host}:{listen.port}"),
    }


def _day(instant: datetime) -> int:
    return int(instant.timestamp() // _SECONDS_A_DAY)


def _support_address(context: OperationContext, asked: str) -> SupportAddress | None:
    return next((a for a in context.desk.addresses if asked == a.address or asked in a.aliases), None)


def _case_addresses(context: OperationContext) -> list[str]:
    """Addresses of other systems that rules write mail to."""
    rules = (getattr(rule, "then", None) for rule in context.config.rules)
    return sorted({str(found) for then in rules if (found := getattr(then, "rewrite_recipient", None))})


def _unknowable(context: OperationContext, asked: str, cases: list[str]) -> str:
    if any(asked in {one.lower() for one in a.allmember} for a in context.desk.addresses):
        return "allmember"
    if asked in {one.lower() for one in cases}:
        return "case_address"
    raise InputError(f"{asked} is neither a support address nor an Allmember nor another system's address")


async def way_back(context: OperationContext, queue_id: str) -> dict[str, Any]:
    """Where failures of a probe's copy come back to, its reverse-path: ``address, domain``, null without a copy."""
    found = (await known_messages(context, queue_id))[0]
    support = next((a for a in context.desk.addresses if a.name == found["address"]), None)
    if support is None or not found["deliveries"]:
        return {"address": None, "domain": None}
    if support.reverse_path == "sender":
        address = support.sender_address
    else:
        keys = await context.store.signing_keys()
        day = _day(datetime.fromisoformat(found["accepted_at"]))
        token = delivery_token(keys[0], found["deliveries"][0]["id"], day)
        address = support.bounce_address.replace("{token}", token)
    return {"address": address, "domain": address.rpartition("@")[2]}


async def clean(context: OperationContext, queue_id: str) -> dict[str, Any]:
    """Remove a probe and the ticket it made: ``queue_id, ticket`` (null when it had made none).

    Raises:
        InputError: It is no probe; real mail is never removed.
    """
    found = (await known_messages(context, queue_id))[0]
    codes = {reason["code"] for reason in (found["decision"] or {}).get("reasons", ())}
    if "probe.reader_only" not in codes:
        raise InputError(f"{queue_id} is no probe")
    ticket = await context.store.remove_probe(found["queue_id"], who=context.who, now=context.now())
    return {"queue_id": found["queue_id"], "ticket": ticket_label(ticket) if ticket else None}
