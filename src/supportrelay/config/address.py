"""One support address: who answers for it and how its copies look."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from supportrelay.config.scalars import Address, AddressGlob, BounceTemplate, Duration, SenderName, Text, WebUrl
from supportrelay.config.section import Section
from supportrelay.core.directory import DealState
from supportrelay.core.settings import SupportAddress

__all__ = ["AddressConfig", "GuardsConfig", "Language", "SenderConfig"]

Language = Literal["ja", "en", "fr", "pl"]


class SenderConfig(Section):
    """From of the copies."""

    name: SenderName = Field(
        default="{author} via Support",
        description="Name in From of the copies. {author} and {company} stand for who wrote; no @ is allowed, because "
        "mail programs would show it as an address.",
    )
    address: Address = Field(
        description="Address in From of the copies: one of yours that delivers to the relay, so that a mail to it is "
        "threaded. Never the support address, an Allmember's or an owner's: their answers would come back as loops. "
        "Never the customer's: the body changes, so his DMARC would fail.",
        examples=["support-relay@company.example"],
    )


class GuardsConfig(Section):
    """Private notes to your own people about mail they just sent; nobody else gets them, and one mail one at most."""

    unsent_reply: bool = Field(
        default=True,
        description="Tell somebody whose answer to a customer's mail went to the support address or to colleagues "
        "only: nobody outside has received it. The note names the customer.",
    )
    leaks: bool = Field(
        default=True,
        description="Tell somebody whose mail to people outside still held the banner, a list of owners, or an "
        "Allmember's address.",
    )


class AddressConfig(Section):
    """A support address."""

    name: Text = Field(
        description="Short name, used by commands, the log and tickets. Tickets keep it, so do not change it lightly.",
        examples=["support"],
    )
    address: Address = Field(
        description="What customers write to. Mail to it, its plus-addresses (support+anything@) and its aliases is "
        "taken in.",
        examples=["support@company.example"],
    )
    aliases: tuple[Address, ...] = Field(
        default=(), description="Further addresses of the same desk.", examples=["[help@company.example]"]
    )
    sender: SenderConfig = Field(description="From of the copies that owners get.")
    allmember: Annotated[tuple[Address, ...], Field(min_length=1)] = Field(
        description="Who gets mail whose customer nobody owns: at least one, people or a list. No customer mail is "
        "ever seen by no one.",
        examples=["[everybody@company.example]"],
    )
    language: Language | None = Field(
        default=None,
        description="Language of the banner, automatic answers and the board: ja, en, fr or pl.",
        examples=["ja"],
        json_schema_extra={"default": "the language of the whole desk, see below"},
    )
    manual_url: WebUrl | None = Field(
        default=None,
        description="A page on how to answer, linked in the banner.",
        examples=["https://company.example/manual"],
    )
    form_senders: tuple[AddressGlob, ...] = Field(
        default=(),
        description="Addresses from which web forms, shops and e-sign services write for a customer: the author is "
        "taken from Reply-To. Patterns like *@forms.example are allowed.",
        examples=["['*@forms.example']"],
    )
    reopen_within: Duration = Field(
        default=timedelta(days=30),
        description="How long after closing a mail still joins its ticket and opens it again; later mail makes a new "
        "ticket that names the old one.",
    )
    ticket_match: Literal["thread", "customer"] = Field(
        default="thread",
        description="How a mail finds its ticket. thread: by token, Message-IDs and subject. customer: besides, any "
        "open ticket of the same customer, for customers who never press 'Reply'.",
    )
    deal_choice: Literal["latest", "all"] = Field(
        default="latest",
        description="Which deal's owners get the mail of a company with several. latest: the one whose stage moved "
        "last. all: the owners of every such deal, at most four.",
    )
    deal_states: Annotated[tuple[DealState, ...], Field(min_length=1)] = Field(
        default=(DealState.OPEN, DealState.WON, DealState.LOST),
        description="Which deals count, in this order: the next kind only where there is none of the one before. "
        "Take out what shall not count.",
    )
    automatic: Literal["keep", "relay"] = Field(
        default="keep",
        description="Automatic answers (holiday notices) to one of your tickets. keep: on the ticket only. relay: to "
        "the owners too.",
    )
    unproven_staff: Literal["admins", "hold", "allmember"] = Field(
        default="admins",
        description="Who gets a mail that claims to come from your own people and cannot prove it. hold: nobody until "
        "somebody releases it. It never moves or closes a ticket.",
    )
    show_recipients: bool = Field(
        default=False,
        description="Add the owners to Cc of the copies: 'Reply all' shows them to the customer, the banner warns.",
    )
    copy_to_addressed: bool = Field(
        default=False,
        description="Send a copy also to an owner who already stands in To or Cc and so has the mail.",
    )
    copy_to_author: bool = Field(default=False, description="Send authors a copy of their own mail.")
    banner_details: Literal["code", "full"] = Field(
        default="code",
        description="What the banner says on why this person got the mail. code: a short neutral code. full: the whole "
        "sentence, which a customer may read when it gets quoted.",
    )
    signed_mail: Literal["wrap", "untouched"] = Field(
        default="wrap",
        description="Signed mail. wrap: whole, after a part with the banner; the signature stays valid. untouched: "
        "without banner.",
    )
    encrypted_mail: Literal["untouched", "wrap"] = Field(
        default="untouched",
        description="Encrypted mail, as signed_mail. Some mail programs do not decrypt what is wrapped.",
    )
    message_id: Literal["keep", "new"] = Field(
        default="keep",
        description="keep: copies carry the Message-ID of the original, so that answers find their thread. new: for "
        "desks whose owners also get the original and whose mailbox shows only one of two.",
    )
    bounce_address: BounceTemplate | None = Field(
        default=None,
        description="Where failures of a copy come back to; {token} names the delivery. Must lead to the relay: "
        "best a subdomain whose MX is the relay. 'supportrelay verify' proves it.",
        examples=["'b-{token}@bounce.company.example'"],
        json_schema_extra={"default": "made of the address: support+b-{token}@company.example"},
    )
    reverse_path: Literal["verp", "sender"] = Field(
        default="verp",
        description="Envelope sender of the copies. verp: bounce_address. sender: the sender address, for smarthosts "
        "that refuse others; failures are then told apart by their content only.",
    )
    suppress_auto_replies: bool = Field(
        default=True,
        description="Ask owners' mailboxes (X-Auto-Response-Suppress) not to send holiday notices, which would go to "
        "the customer.",
    )

    guards: GuardsConfig = Field(
        default=GuardsConfig(),
        description="Private notes to your own people about mail they just sent, in its thread.",
    )

    def bounce_template(self, delimiter: str) -> str:
        """`bounce_address`, or the one made of the address: ``support+b-{token}@company.example``."""
        local, _, domain = self.address.rpartition("@")
        return self.bounce_address or f"{local}{delimiter}b-{{token}}@{domain}"

    def to_core(self, *, language: Language, delimiter: str) -> SupportAddress:
        """The plain value that decisions use. ``language`` and ``delimiter`` are those of the whole desk."""
        return SupportAddress(
            name=self.name,
            address=self.address,
            sender_name=self.sender.name,
            sender_address=self.sender.address,
            allmember=tuple(dict.fromkeys(self.allmember)),
            bounce_address=self.bounce_template(delimiter),
            aliases=self.aliases,
            language=self.language or language,
            manual_url=self.manual_url or "",
            form_senders=self.form_senders,
            reopen_within=self.reopen_within,
            ticket_match=self.ticket_match,
            deal_choice=self.deal_choice,
            deal_states=self.deal_states,
            automatic=self.automatic,
            unproven_staff=self.unproven_staff,
            show_recipients=self.show_recipients,
            copy_to_addressed=self.copy_to_addressed,
            copy_to_author=self.copy_to_author,
            banner_details=self.banner_details,
            signed_mail=self.signed_mail,
            encrypted_mail=self.encrypted_mail,
            message_id=self.message_id,
            reverse_path=self.reverse_path,
            suppress_auto_replies=self.suppress_auto_replies,
            guard_unsent_reply=self.guards.unsent_reply,
            guard_leaks=self.guards.leaks,
        )
