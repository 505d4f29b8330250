"""compose: write the copy. A pure function of the received octets and the plan kept with the message."""

from dataclasses import replace
from datetime import datetime

from supportrelay.core.banner import Banner, BannerValues
from supportrelay.core.decision import CopyPlan
from supportrelay.core.delivery import DeliveryForm, DeliveryKind
from supportrelay.core.envelope import Envelope
from supportrelay.core.facts import Facts
from supportrelay.core.mailbox import Mailbox, parse_mailboxes
from supportrelay.core.next_hop import NextHop
from supportrelay.core.rewrite import (
    Copy,
    CopyContext,
    as_is_attached,
    as_is_copy,
    attached_copy,
    compose_copy,
    compose_second_copy,
    fit_copy,
    received_line,
)
from supportrelay.core.settings import SupportAddress
from supportrelay.core.submitted import submitted_copy, without_notices
from supportrelay.core.ticket import ticket_label
from supportrelay.core.token import delivery_token, marker_code, trail
from supportrelay.core.value import value_class
from supportrelay.flow.message_ids import id_of_copies
from supportrelay.flow.note_to_writer import note_to_writer, senders_of
from supportrelay.flow.office import Office, Rulebook
from supportrelay.flow.second import second_copy_of

__all__ = ["CopyOrder", "Original", "compose", "compose_for_hop", "reverse_path_of"]


@value_class
class Original:
    """What copies are written from."""

    queue_id: str
    envelope: Envelope
    octets: bytes
    facts: Facts
    accepted_at: datetime
    plan: CopyPlan | None
    ticket_id: int | None


@value_class
class CopyOrder:
    """Which copy of a mail; equal orders give equal octets, so that one is written for all who get the same.

    Attributes:
        new_message_id: "" keeps the mail's own.
        form_why: The refusal that led to ``form`` (`core.ladder.why_of`).
    """

    kind: DeliveryKind
    new_message_id: str = ""
    form: DeliveryForm = DeliveryForm.FULL
    form_why: str = ""


def compose(office: Office, rulebook: Rulebook, original: Original, order: CopyOrder) -> Copy:
    """Write a copy; equal input gives equal octets, so that a retry sends the same."""
    if order.kind == DeliveryKind.OWN:
        return Copy(original.octets)
    plan = original.plan
    address = _address(rulebook, plan)
    context = _context(office, rulebook, original, order, address)
    if order.kind == DeliveryKind.SUBMITTED:
        return submitted_copy(original.octets, context=context, senders=senders_of(rulebook))
    if order.kind == DeliveryKind.AS_IS or plan is None:
        return as_is_copy(original.octets, context=context)
    if order.kind == DeliveryKind.NOTE:
        return _note(office, rulebook, original, plan, order)
    if order.kind == DeliveryKind.REWRITTEN:
        context = replace(context, ticket_id=None)
        return compose_copy(original.octets, plan=plan, address=address, kind=order.kind, context=context, banner=None)
    values = _banner_values(office, rulebook, original, plan, address)
    banner = _banner(rulebook, plan, address, values)
    if order.form == DeliveryForm.FULL:
        return compose_copy(
            original.octets, plan=plan, address=address, kind=order.kind, context=context, banner=banner
        )
    second = second_copy_of(
        rulebook,
        address.language,
        order.form,
        order.form_why,
        queue_id=original.queue_id,
        subject=original.facts.subject,
        values=values,
    )
    return compose_second_copy(
        original.octets, plan=plan, address=address, kind=order.kind, context=context, banner=banner, second=second
    )


def compose_for_hop(
    office: Office, rulebook: Rulebook, original: Original, order: CopyOrder, copy: Copy, hop: NextHop
) -> Copy:
    """Write the copy that was composed for a next hop that does not take it as it is."""

    def instead() -> Copy:
        plan = original.plan
        address = _address(rulebook, plan)
        context = _context(office, rulebook, original, order, address)
        if order.kind == DeliveryKind.SUBMITTED:
            return as_is_attached(without_notices(original.octets, senders_of(rulebook)), context=context)
        if order.kind == DeliveryKind.AS_IS or plan is None:
            return as_is_attached(original.octets, context=context)
        if order.kind in {DeliveryKind.NOTE, DeliveryKind.OWN}:
            return copy
        if order.form != DeliveryForm.FULL:  # it was too large with all of it
            return compose(office, rulebook, original, replace(order, form=DeliveryForm.NOTICE))
        values = _banner_values(office, rulebook, original, plan, address)
        banner = None if order.kind == DeliveryKind.REWRITTEN else _banner(rulebook, plan, address, values)
        return attached_copy(
            original.octets, plan=plan, address=address, kind=order.kind, context=context, banner=banner
        )

    return fit_copy(copy, hop, instead)


def _note(office: Office, rulebook: Rulebook, original: Original, plan: CopyPlan, order: CopyOrder) -> Copy:
    return note_to_writer(
        office,
        rulebook,
        plan,
        original.facts,
        queue_id=original.queue_id,
        ticket_id=original.ticket_id,
        message_id=order.new_message_id,
        accepted_at=original.accepted_at,
    )


def _address(rulebook: Rulebook, plan: CopyPlan | None) -> SupportAddress:
    return rulebook.address(plan.address_name) if plan else rulebook.desk.addresses[0]


def _context(
    office: Office, rulebook: Rulebook, original: Original, order: CopyOrder, address: SupportAddress
) -> CopyContext:
    hostname = rulebook.desk.hostname
    earlier = ""
    if order.form != DeliveryForm.FULL:
        earlier = id_of_copies(office, address, original.facts, original.queue_id)
    return CopyContext(
        queue_id=original.queue_id,
        ticket_id=original.ticket_id,
        hostname=hostname,
        received=received_line(
            original.envelope, hostname=hostname, queue_id=original.queue_id, at=original.accepted_at
        ),
        trail=trail(office.keys[0], office.instance, original.queue_id),
        new_message_id=order.new_message_id,
        earlier_ids=(earlier,) if earlier else (),
        unproven_word=rulebook.word(address.language, "unverified"),
        is_smtputf8=original.envelope.is_smtputf8,
        authserv_id=rulebook.desk.authserv_id,
    )


def _banner(rulebook: Rulebook, plan: CopyPlan, address: SupportAddress, values: BannerValues) -> Banner | None:
    return None if plan.banner == "none" else rulebook.banners.render(plan.banner, address.language, values)


def _banner_values(
    office: Office, rulebook: Rulebook, original: Original, plan: CopyPlan, address: SupportAddress
) -> BannerValues:
    public_url = rulebook.desk.public_url
    label = ticket_label(original.ticket_id) if original.ticket_id else ""
    return BannerValues(
        support=address.address,
        ticket=label,
        ticket_url=f"{public_url}/t/{label}" if public_url and label else "",
        marker=marker_code(office.keys[-1], original.ticket_id or 0, original.queue_id),
        to=tuple(_shown(m) for m in original.facts.to),
        cc=tuple(_shown(m) for m in original.facts.cc),
        author=f"{plan.author_name} <{plan.author}>" if plan.author else "",
        reply_to=tuple(_shown(m) for printed in plan.reply_to for m in parse_mailboxes(printed)),
        reply_to_cut=plan.reply_to_cut,
        visible_recipients=bool(plan.visible_recipients),
        manual_url=address.manual_url,
        forwarded_by=plan.forwarded_by,
        is_unproven=plan.is_unproven,
        reason_code=plan.reason_code,
        reason_text=_reason_text(rulebook, plan, address) if address.banner_details == "full" else "",
        as_of=plan.as_of.replace("T", " ")[:16] + " UTC" if plan.as_of else "",
        has_winmail=original.facts.has_winmail,
        is_first=plan.is_first,
    )


def _reason_text(rulebook: Rulebook, plan: CopyPlan, address: SupportAddress) -> str:
    """Why this reader got it, as a sentence; "" when there is none for it."""
    name = f"reason.{plan.reason_name}"
    sentence = rulebook.word(address.language, name)
    return "" if sentence == name else sentence.replace("{deal}", plan.reason_text)


def _shown(mailbox: Mailbox) -> str:
    """A mailbox as people read it."""
    address = f"{mailbox.local}@{mailbox.domain}"
    return f"{mailbox.name} <{address}>" if mailbox.name else address


def reverse_path_of(
    office: Office, rulebook: Rulebook, original: Original, *, delivery_id: int, recipient: str, kind: DeliveryKind
) -> str:
    """Return the reverse-path of one delivery.

    A null reverse-path stays null: a notification must not become something to notify about (RFC 5321 §4.5.5).
    Submission's other recipients keep the submitter's. Everybody else gets a token of his own, so that a report
    names the delivery.
    """
    envelope = original.envelope
    if not envelope.reverse_path:
        return ""
    if kind.keeps_author and recipient in envelope.forward_paths:
        return envelope.reverse_path
    address = _address(rulebook, original.plan)
    if address.reverse_path == "sender":
        return address.sender_address
    day = int(original.accepted_at.timestamp() // 86400)
    return address.bounce_address.replace("{token}", delivery_token(office.keys[0], delivery_id, day))
