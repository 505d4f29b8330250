"""Operations on one mail: what would happen to it, what did."""

import asyncio
import base64
import binascii
import ipaddress
from typing import Any

from supportrelay.admin.context import OperationContext
from supportrelay.admin.views import known_messages
from supportrelay.core.envelope import Envelope, Peer
from supportrelay.core.errors import InputError
from supportrelay.core.facts import Facts
from supportrelay.core.mailbox import parse_path
from supportrelay.core.membership import Membership
from supportrelay.core.reading import read_facts

__all__ = ["explain", "trace"]


async def explain(
    context: OperationContext,
    octets: str,
    mail_from: str | None = None,
    rcpts: list[str] | None = None,
    peer: str = "192.0.2.1",
) -> dict[str, Any]:
    """The decision on a mail, in the shape of ``explain --json``; nothing is changed.

    Args:
        octets: The mail, base64; bare line feeds are read as line ends.
        mail_from: None: Return-Path, else From. "" is the null reverse-path.
        rcpts: None or empty: our addresses in To and Cc, else the first support address.
        peer: IP address of who would hand it to us.
    """
    mail, facts = await asyncio.to_thread(_read, octets)
    envelope = Envelope(
        reverse_path=_reverse_path(facts) if mail_from is None else _path(mail_from),
        forward_paths=tuple(dict.fromkeys(map(_path, rcpts))) if rcpts else _forward_paths(facts, context),
        peer=Peer(ip=_ip(peer), helo="explain.example"),
    )
    decision = await context.decide(mail, envelope)
    return decision.to_json()


def _read(octets: str) -> tuple[bytes, Facts]:
    try:
        mail = _with_line_ends(base64.b64decode(octets, validate=True))
    except binascii.Error as exc:
        raise InputError("the mail is not base64") from exc
    return mail, read_facts(mail)


def _with_line_ends(octets: bytes) -> bytes:
    """Files on disk mostly have bare line feeds; SMTP never."""
    return octets if b"\r\n" in octets else octets.replace(b"\n", b"\r\n")


def _path(text: str) -> str:
    """An address as it stands in an envelope, "" for the null path.

    Raises:
        AddressError: Neither.
    """
    bare = text.strip().removeprefix("<").removesuffix(">")
    if bare:
        parse_path(bare)
    return bare


def _ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError as exc:
        raise InputError(f"{text!r} is no IP address") from exc


def _reverse_path(facts: Facts) -> str:
    written = facts.first("return-path")
    if written:
        return written.strip().removeprefix("<").removesuffix(">")
    return f"{facts.from_[0].local}@{facts.from_[0].domain}" if facts.from_ else ""


def _forward_paths(facts: Facts, context: OperationContext) -> tuple[str, ...]:
    members = Membership(context.desk)
    ours = dict.fromkeys(
        mailbox.key
        for mailbox in (*facts.to, *facts.cc)
        if members.is_ours(mailbox.key) or members.is_known_to_rules(mailbox.key)
    )
    return tuple(ours) or (context.desk.addresses[0].address,)


async def trace(context: OperationContext, id: str) -> dict[str, Any]:  # noqa: A002  the name in JSON
    """The life of one message by queue id or Message-ID; ``others`` are further arrivals of that Message-ID.

    ``queue_id, message_id, subject, state, reverse_path, forward_paths, peer, accepted_at, address, decision``
    (``explain``'s shape with the real ticket, null until decided), ``changes`` ({at, what, who, why, recipient}),
    ``deliveries`` ({recipient, kind, why, state, attempts, due_at, last_reply}), ``others``.

    Raises:
        InputError: There is none.
    """
    found = await known_messages(context, id)
    return {**found[0], "others": found[1:]}
