"""Alarm: something is broken that a person has to see to; the administrators get a mail about it (`flow.clerk`)."""

from collections.abc import Mapping
from dataclasses import field
from datetime import timedelta
from enum import StrEnum

from supportrelay.core.value import value_class

__all__ = ["AGAIN_AFTER", "ALERTS_A_DAY", "DOWN_FOR", "Alarm", "AlarmKind"]

AGAIN_AFTER = timedelta(hours=1)
"""Between two mails about the same; what comes meanwhile is counted in the next."""
ALERTS_A_DAY = 24
"""Alert mails within 24 hours, whatever they are about; what comes meanwhile is counted in the next."""
DOWN_FOR = timedelta(minutes=15)
"""How long nothing may get through before somebody is told (RELIABILITY F22)."""


class AlarmKind(StrEnum):
    """What is broken; the key of an alarm says which one of that kind."""

    SMARTHOST_REFUSES_US = "smarthost_refuses_us"  # login, sender rights, TLS, greeting; key: host
    SMARTHOST_DOWN = "smarthost_down"  # no server takes mail
    REFUSED_IN_EVERY_FORM = "refused_in_every_form"  # a server takes a mail not even as a notice; key: queue id
    STATION_BROKE = "station_broke"  # a message broke a station three times and is held; key: queue id
    OWN_MAIL_FAILED = "own_mail_failed"  # a mail of our own was not delivered; key: its recipient
    DISK_NEARLY_FULL = "disk_nearly_full"  # key: folder
    STORE_BROKEN = "store_broken"  # key: what of it
    CRM_TOKEN_REFUSED = "crm_token_refused"  # noqa: S105  key: which CRM
    CONFIG_REFUSED = "config_refused"  # read again with mistakes; the old one stays
    CERTIFICATE_EXPIRES = "certificate_expires"  # key: file
    PASSED_ON_REFUSED = "passed_on_refused"  # what a rule passes on was refused for good; key: its recipient
    OWNER_UNREACHABLE = "owner_unreachable"  # three copies within a week refused for good; key: address
    AUDIT_FINDING = "audit_finding"  # key: what is out of line


@value_class
class Alarm:
    """One alarm.

    Attributes:
        key: Two alarms of a kind with the same key are the same.
        facts: JSON scalars for whoever reads it. ``queue_id`` links it to a message; ``recipient`` of OWN_MAIL_FAILED
            is not told of it by mail (RELIABILITY C58).
    """

    kind: AlarmKind
    key: str = ""
    facts: Mapping[str, str | int] = field(default_factory=dict)
