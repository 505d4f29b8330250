"""What decisions need of the configuration, as plain values; `config` builds them."""

from collections.abc import Mapping
from dataclasses import field
from datetime import timedelta

from supportrelay.core.directory import DealState
from supportrelay.core.robot_limits import RobotLimits
from supportrelay.core.ticket import TicketStages
from supportrelay.core.value import value_class

__all__ = ["Desk", "SpamMark", "SupportAddress"]


@value_class
class SupportAddress:
    """One support address and how it behaves. All addresses are in comparing form (`mailbox.comparing_form`).

    Attributes:
        address: What customers write to.
        sender_name: Template of the name in From of copies; may hold ``{author}`` and ``{company}``.
        sender_address: The address in From of copies.
        form_senders: Globs; mail From these takes its author from Reply-To.
        reopen_within: How long after closing a mail still joins its ticket.
        ticket_match: ``thread`` or ``customer``.
        deal_choice: ``latest`` or ``all``.
        automatic: ``keep`` (copies of matched automatic answers go to nobody) or ``relay``.
        unproven_staff: ``admins``, ``hold`` or ``allmember``.
        banner_details: ``code`` or ``full``.
        signed_mail: ``wrap`` or ``untouched``.
        encrypted_mail: ``untouched`` or ``wrap``.
        message_id: ``keep`` or ``new``.
        bounce_address: Template with ``{token}``; the delivery's reverse-path.
        reverse_path: ``verp`` (bounce_address) or ``sender``.
        guard_unsent_reply, guard_leaks: Colleagues are told about such mail of theirs (`core.guards`).
    """

    name: str
    address: str
    sender_name: str
    sender_address: str
    allmember: tuple[str, ...]
    bounce_address: str
    aliases: tuple[str, ...] = ()
    language: str = "en"
    manual_url: str = ""
    form_senders: tuple[str, ...] = ()
    reopen_within: timedelta = timedelta(days=30)
    ticket_match: str = "thread"
    deal_choice: str = "latest"
    deal_states: tuple[DealState, ...] = (DealState.OPEN, DealState.WON, DealState.LOST)
    automatic: str = "keep"
    unproven_staff: str = "admins"
    show_recipients: bool = False
    copy_to_addressed: bool = False
    copy_to_author: bool = False
    banner_details: str = "code"
    signed_mail: str = "wrap"
    encrypted_mail: str = "untouched"
    message_id: str = "keep"
    reverse_path: str = "verp"
    suppress_auto_replies: bool = True
    guard_unsent_reply: bool = True
    guard_leaks: bool = True


@value_class
class SpamMark:
    """Header fields by which a filter in front of us calls a mail spam.

    Attributes:
        headers: Lower-case field name -> value, compared without case after trimming.
        then: ``hold`` or ``tag``.
    """

    headers: Mapping[str, str] = field(default_factory=dict)
    then: str = "hold"


@value_class
class Desk:
    """The whole desk.

    Attributes:
        addresses: At least one, in configured order.
        internal_domains: A-label, lower case; ``*.x`` stands for the subdomains of x.
        staff: Addresses in comparing form.
        admins: At least one address.
        recipient_delimiter: One character.
        authserv_id: Ours, in Authentication-Results we write and of foreign ones we remove.
        rule_recipients: Addresses and ``*@domain`` that only rules know; accepted as ours.
        hostname: In EHLO and Received.
        public_url: Of the board, without a slash at the end; "" when there is none.
        failover_after: When a copy that nobody got goes to Allmember.
        digest_after: How long something may wait for a person until the administrators are told.
        digest_every: How often they are told again of what still waits.
        robot_limits: How much automatic mail is passed on before a person is asked.
        subject_tags: Tags removed when subjects are compared.
        original_recipients: A gateway's ``authserv_id`` -> lower-case names of the fields in which it notes whom the
            mail was for, best first.
        desk_kind: Where tickets live: ``builtin``, ``hubspot`` ...
        desk_log: Which mail is logged there: ``all``, ``inbound`` or ``none``.
    """

    addresses: tuple[SupportAddress, ...]
    internal_domains: tuple[str, ...]
    admins: tuple[str, ...]
    hostname: str
    authserv_id: str
    staff: frozenset[str] = frozenset()
    recipient_delimiter: str = "+"
    rule_recipients: tuple[str, ...] = ()
    ticket_stages: TicketStages = field(default_factory=TicketStages)
    spam: SpamMark = field(default_factory=SpamMark)
    subject_tags: tuple[str, ...] = ("[EXTERNAL]", "[社外]")
    stock_subjects: tuple[str, ...] = ()
    public_url: str = ""
    original_recipients: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    max_size_octets: int = 50 * 1024 * 1024
    crm_cache_for: timedelta = timedelta(minutes=5)
    crm_max_wait: timedelta = timedelta(seconds=60)
    desk_kind: str = "builtin"
    desk_log: str = "all"
    failover_after: timedelta = timedelta(hours=1)
    give_up_after: timedelta = timedelta(days=5)
    digest_after: timedelta = timedelta(minutes=30)
    digest_every: timedelta = timedelta(days=1)
    robot_limits: RobotLimits = field(default_factory=RobotLimits)
