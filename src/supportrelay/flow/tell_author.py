"""tell_author: the report to an author whose mail was not delivered, or is late (DESIGN 5, RELIABILITY C57, C62)."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from supportrelay.core.addressee import OWN_MAIL_MARK, find_addressee
from supportrelay.core.automatic import classify_automatic
from supportrelay.core.delivery import DeliveryKind, DeliveryState
from supportrelay.core.delivery_report import Failure, ReportContext, public_diagnostic, public_status, write_report
from supportrelay.core.envelope import Envelope, Peer, Role
from supportrelay.core.membership import Membership
from supportrelay.core.own_mail import OwnHead, OwnKind, OwnMail, Wording
from supportrelay.core.own_ports import OwedReport, OwnMailStore
from supportrelay.core.settings import SupportAddress
from supportrelay.core.token import new_message_id
from supportrelay.core.value import value_class
from supportrelay.flow.assess import facts_of
from supportrelay.flow.office import Office, Rulebook

__all__ = ["AuthorsReport", "report_to_author"]

_STILL_TRIED = {DeliveryState.DUE, DeliveryState.SENDING}
_LATE = {DeliveryState.DUE, DeliveryState.SENDING, DeliveryState.DEFERRED}


@value_class
class AuthorsReport:
    """What is to be told, or why nothing is.

    Attributes:
        recipients: Whose failure this tells.
        why: Why there is no mail; "" with one.
    """

    mail: OwnMail | None
    recipients: tuple[str, ...] = ()
    why: str = ""


async def report_to_author(
    office: Office, rulebook: Rulebook, store: OwnMailStore, wording: Callable[[str], Wording], owed: OwedReport
) -> AuthorsReport | None:
    """Write what an author is owed; None while first attempts are under way, so that one report tells of all of them.

    Args:
        wording: The sentences of a language.

    Raises:
        TransientFailure: The store cannot be read.
    """
    case = _case(rulebook, owed, await store.queue_show(owed.queue_id))
    if case is None:
        return None
    if not case.failures:
        return AuthorsReport(None, why="nothing_new")
    try:
        octets = await office.store.content(owed.queue_id)
    except KeyError:  # deleted meanwhile, at somebody's request
        return AuthorsReport(None, case.told, "content_gone")
    facts = await facts_of(octets)
    addressee = find_addressee(
        case.life.get("decision") or {},
        case.envelope,
        facts,
        classify_automatic(facts, case.envelope),
        members=case.members,
        keys=office.keys,
        registrable=rulebook.domains.registrable,
    )
    if not addressee.address:
        return AuthorsReport(None, case.told, addressee.why)
    since = office.now() - addressee.within
    if await store.own_mail_since(owed.kind, addressee.address, since) >= addressee.most:
        return AuthorsReport(None, case.told, "too_often")
    mail = _write(office, rulebook, wording(case.address.language), owed, case, addressee.address, octets)
    return AuthorsReport(mail, case.told)


@value_class
class _Case:
    """One message and what is to be told of it.

    Attributes:
        named: How the desk is named in it, "" when the mail was not for the desk.
    """

    life: Mapping[str, Any]
    envelope: Envelope
    address: SupportAddress
    members: Membership
    named: str
    failures: tuple[Failure, ...]

    @property
    def told(self) -> tuple[str, ...]:
        return tuple(one.recipient for one in self.failures)

    @property
    def is_for_desk(self) -> bool:
        return self.told == (self.named,)


def _case(rulebook: Rulebook, owed: OwedReport, life: Mapping[str, Any]) -> _Case | None:
    """None while first attempts are under way."""
    submitted = [one for one in life["deliveries"] if one["kind"] == DeliveryKind.SUBMITTED]
    if owed.kind == OwnKind.REPORT and any(one["state"] in _STILL_TRIED for one in submitted):
        return None
    envelope, address, members = _envelope(life), rulebook.address(life["address"]), Membership(rulebook.desk)
    outside = {one["recipient"] for one in submitted}
    named = _named([path for path in envelope.forward_paths if path not in outside], address, members)
    failures = _failures(life, submitted, owed.kind, (rulebook.desk.hostname, *_hosts(life)))
    if life["state"] == "dead" and named and owed.kind == OwnKind.REPORT and not _was_told(life, named):
        failures.append(Failure(named, _desk_status(life), ""))
    return _Case(life, envelope, address, members, named, tuple(failures))


def _write(
    office: Office, rulebook: Rulebook, words: Wording, owed: OwedReport, case: _Case, to: str, octets: bytes
) -> OwnMail:
    now, address, life = office.now(), case.address, case.life
    queue_id = office.new_id()
    domain = address.sender_address.rpartition("@")[2]
    kind = "delay" if owed.kind == OwnKind.DELAY else "desk" if case.is_for_desk else "outside"
    head = OwnHead(
        queue_id=queue_id,
        kind=owed.kind,
        sender_address=address.sender_address,
        sender_name=address.name,
        recipients=(to,),
        reply_to=(address.address,),
        subject=words.text(f"own.subject.{kind}", support=address.address),
        message_id=new_message_id(office.keys[0], f"{queue_id}{OWN_MAIL_MARK}", domain),
        at=now,
        references=(life["message_id"],) if life["message_id"] else (),
    )
    accepted_at = datetime.fromisoformat(life["accepted_at"])
    context = ReportContext(
        head=head,
        support=address.address,
        accepted_at=accepted_at,
        is_for_desk=case.is_for_desk,
        retry_until=accepted_at + rulebook.desk.give_up_after if owed.kind == OwnKind.DELAY else None,
    )
    report = write_report(context, case.failures, octets, words)
    return OwnMail(queue_id, owed.kind, (to,), report, head.message_id, head.subject, now, owed.queue_id)


def _envelope(life: Mapping[str, Any]) -> Envelope:
    stored = life["envelope"]
    peer = Peer(**{**stored["peer"], "role": Role(stored["peer"]["role"])})
    return Envelope(stored["reverse_path"], tuple(stored["forward_paths"]), peer, stored["is_smtputf8"])


def _failures(
    life: Mapping[str, Any], submitted: Sequence[Mapping[str, Any]], kind: OwnKind, hosts: Sequence[str]
) -> list[Failure]:
    """The people outside whom he wrote to and who did not get it, each told once."""
    wanted = _LATE if kind == OwnKind.DELAY else {DeliveryState.FAILED}
    return [
        _failure(one, hosts, is_late=kind == OwnKind.DELAY)
        for one in submitted
        if one["state"] in wanted and (kind == OwnKind.DELAY or not _was_told(life, one["recipient"]))
    ]


def _failure(delivery: Mapping[str, Any], hosts: Sequence[str], *, is_late: bool) -> Failure:
    last = delivery["attempts_made"][-1] if delivery["attempts_made"] else {}
    status = public_status(str(last.get("status") or ""), str(last.get("cause") or ""), is_failed=not is_late)
    return Failure(delivery["recipient"], status, public_diagnostic(delivery["last_reply"], hosts))


def _named(own_paths: Sequence[str], address: SupportAddress, members: Membership) -> str:
    """How a report names the desk: by the support address, or what else of ours the author wrote to (postmaster@)."""
    if not own_paths or any(members.is_ours(path.lower()) for path in own_paths):
        return address.address if own_paths else ""
    return own_paths[0]


def _desk_status(life: Mapping[str, Any]) -> str:
    """Of a mail to the desk only the class and what it was about, not whose mailbox."""
    causes = {str(a.get("cause") or "") for d in life["deliveries"] for a in d["attempts_made"][-1:]}
    return "5.3.4" if causes == {"size"} else "5.6.0" if causes == {"content"} else "5.3.0"


def _was_told(life: Mapping[str, Any], recipient: str) -> bool:
    return any(
        recipient in change["why"].get("recipients", ())
        for change in life["changes"]
        if change["what"] in {"message.reported", "message.not_reported"} and change["why"].get("kind") == "report"
    )


def _hosts(life: Mapping[str, Any]) -> set[str]:
    """Names of the next hops, which are ours."""
    hosts = {str(a.get("host") or "").rpartition(":")[0] for d in life["deliveries"] for a in d["attempts_made"]}
    return {host for host in hosts if host and host != "localhost"}
