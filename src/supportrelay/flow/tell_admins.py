"""tell_admins: alerts to the administrators about what is broken."""

from collections.abc import Callable, Sequence
from datetime import timedelta

from supportrelay.core.addressee import OWN_MAIL_MARK
from supportrelay.core.alarm import ALERTS_A_DAY, AlarmKind
from supportrelay.core.alert_mail import alert_subject, alert_text
from supportrelay.core.own_mail import OwnHead, OwnKind, OwnMail, Wording, text_part, write_head
from supportrelay.core.own_ports import OwedAlarm, OwnMailStore
from supportrelay.core.token import new_message_id
from supportrelay.core.value import value_class
from supportrelay.flow.office import Office, Rulebook
from supportrelay.log import get_logger

__all__ = ["Alert", "alert_to_admins", "mail_to_admins"]

log = get_logger()

_DAY = timedelta(days=1)


@value_class
class Alert:
    """Alarms and the mails that tell them; those in no mail have nobody who could be told."""

    alarms: tuple[OwedAlarm, ...]
    mails: tuple[OwnMail, ...]


async def alert_to_admins(
    office: Office,
    rulebook: Rulebook,
    store: OwnMailStore,
    wording: Callable[[str], Wording],
    owed: Sequence[OwedAlarm],
) -> Alert | None:
    """Write the mails about these alarms; None when nothing may be told now: the day's mails are used up.

    Whoever's own mail failed is not told of it by mail; the other administrators are (RELIABILITY C58).

    Raises:
        TransientFailure: The store cannot be read.
    """
    admins = rulebook.desk.admins
    if not owed:
        return None
    if await store.own_mail_since(OwnKind.ALERT, admins[0], office.now() - _DAY) >= ALERTS_A_DAY:
        return None
    by_readers: dict[tuple[str, ...], list[OwedAlarm]] = {}
    for one in owed:
        readers = tuple(a for a in admins if not _is_about(one, a))
        by_readers.setdefault(readers, []).append(one)
        if not readers:
            log.error("alarm.untold", kind=str(one.alarm.kind), key=one.alarm.key)
    address = rulebook.desk.addresses[0]
    words = wording(address.language)
    mails = tuple(
        mail_to_admins(
            office,
            rulebook,
            OwnKind.ALERT,
            readers,
            alert_subject(alarms, address.address, words),
            alert_text(alarms, address.address, words),
        )
        for readers, alarms in by_readers.items()
        if readers
    )
    return Alert(tuple(owed), mails)


def _is_about(owed: OwedAlarm, admin: str) -> bool:
    alarm = owed.alarm
    recipient = str(alarm.facts.get("recipient", ""))
    return alarm.kind == AlarmKind.OWN_MAIL_FAILED and recipient.lower() == admin.lower()


def mail_to_admins(
    office: Office, rulebook: Rulebook, kind: OwnKind, readers: tuple[str, ...], subject: str, text: str
) -> OwnMail:
    """A plain mail in the name of the first address; answers go to the administrators, and make no ticket."""
    address = rulebook.desk.addresses[0]
    queue_id, now = office.new_id(), office.now()
    domain = address.sender_address.rpartition("@")[2]
    head = OwnHead(
        queue_id=queue_id,
        kind=kind,
        sender_address=address.sender_address,
        sender_name="supportrelay",
        recipients=readers,
        reply_to=rulebook.desk.admins,
        subject=subject,
        message_id=new_message_id(office.keys[0], f"{queue_id}{OWN_MAIL_MARK}", domain),
        at=now,
    )
    octets = write_head(head) + text_part(text)
    return OwnMail(queue_id, kind, readers, octets, head.message_id, subject, now)
