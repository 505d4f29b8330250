"""What belongs to the whole desk: stages, spam, storage, what comes later."""

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from supportrelay.config.place import DEFAULT_URL, SQLITE
from supportrelay.config.scalars import Domain, Duration, FilePath, HeaderName, StageWord, Text
from supportrelay.config.section import Section
from supportrelay.core.settings import SpamMark
from supportrelay.core.ticket import StageRule, TicketStages

__all__ = [
    "DigestConfig",
    "DkimConfig",
    "KeepConfig",
    "SpamConfig",
    "StagesConfig",
    "StorageConfig",
]


def _storage_url(text: str, info: ValidationInfo) -> str:
    """The URL with an absolute path; the text may hold a password, so it is never repeated."""
    if text.startswith(("postgresql://", "postgres://")):
        raise PydanticCustomError("relay", "PostgreSQL comes in a later version; write sqlite:////absolute/file.db")
    name = text.removeprefix(SQLITE)
    if not text.startswith(SQLITE) or not name.strip("/") or name.endswith("/") or "\0" in name or "?" in name:
        raise PydanticCustomError("relay", "must be sqlite:////absolute/file.db or sqlite:///file.db (from here)")
    folder = (info.context or {}).get("folder")
    return SQLITE + (os.path.normpath(folder / name) if folder else name)


class StorageConfig(Section):
    """Where everything is kept."""

    url: Annotated[str, AfterValidator(_storage_url)] = Field(
        default=DEFAULT_URL,
        description="The store: sqlite:////absolute/file.db, or sqlite:///file.db from this file's folder. Large "
        "mails, the control socket and the outbox stand beside it. Keep it on a local disk.",
    )

    @property
    def path(self) -> Path:
        """The SQLite file."""
        return Path(self.url.removeprefix(SQLITE))


class SpamConfig(Section):
    """What a spam filter in front of us says."""

    headers: dict[HeaderName, Text] = Field(
        default={"X-Spam-Flag": "YES"},
        description="Header fields and values by which the spam filter in front of the relay marks a mail; any of "
        "them suffices, upper and lower case are the same.",
    )
    then: Literal["hold", "tag"] = Field(
        default="hold",
        description="hold: nobody gets it, it is named in the digest to admins. tag: goes its way, marked as spam.",
    )

    def to_core(self) -> SpamMark:
        """The plain value that decisions use."""
        return SpamMark({name.lower(): value for name, value in self.headers.items()}, self.then)


class InboundStages(Section):
    """A customer's mail."""

    to: StageWord = Field(default=StageRule.NEW, description="Support stands in To.")
    cc: StageWord = Field(default=StageRule.NEW, description="Support stands in Cc.")
    other: StageWord = Field(default=StageRule.NEW, description="Support stands in neither (Bcc, a list).")


class OutboundStages(Section):
    """Staff's mail to a customer."""

    to: StageWord = Field(default=StageRule.NEW, description="Support stands in To: a new matter for the desk.")
    cc: StageWord = Field(default=StageRule.CLOSED, description="Support stands in Cc: the matter is answered.")
    cc_inherited: StageWord = Field(
        default=StageRule.CLOSED,
        description="Support stands in Cc because the customer had it there. keep: 'Reply all' shall not close.",
    )
    other: StageWord = Field(default=StageRule.KEEP, description="Support stands in neither.")


class StagesConfig(Section):
    """What mail does to a ticket's stage."""

    inbound: InboundStages = Field(default=InboundStages(), description="A customer's mail.")
    outbound: OutboundStages = Field(default=OutboundStages(), description="Staff's mail to a customer.")

    def to_core(self) -> TicketStages:
        """The plain value that decisions use."""
        return TicketStages(
            inbound_to=self.inbound.to,
            inbound_cc=self.inbound.cc,
            inbound_other=self.inbound.other,
            outbound_to=self.outbound.to,
            outbound_cc=self.outbound.cc,
            outbound_cc_inherited=self.outbound.cc_inherited,
            outbound_other=self.outbound.other,
        )


class KeepConfig(Section):
    """How long things are kept after a message reached its end."""

    raw: Duration | None = Field(
        default=None,
        description="The mail itself, octet for octet. Its ticket, and what was done with it, stay.",
        examples=["90d"],
        json_schema_extra={"default": "for ever"},
    )
    trace: Duration | None = Field(
        default=None,
        description="Everything else that was written about it: decisions, copies, attempts, ids. Tickets stay listed. "
        "Not shorter than raw.",
        examples=["400d"],
        json_schema_extra={"default": "for ever"},
    )

    @model_validator(mode="after")
    def _raw_goes_first(self) -> Self:
        if self.trace is not None and (self.raw is None or self.raw > self.trace):
            raise ValueError("trace must not be shorter than raw: a mail of which nothing is known cannot be found")
        return self


_SELECTOR = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?)*")


def _selector(text: str) -> str:
    """RFC 6376 §3.1: labels of a domain name, in front of ``._domainkey.``."""
    if not _SELECTOR.fullmatch(text.lower()):
        raise ValueError("not a selector; letters, digits, '-' and '_', as in relay2026")
    return text.lower()


class DigestConfig(Section):
    """The mail to the administrators about what waits for a person."""

    after: Duration = Field(
        default=timedelta(minutes=30),
        description="How long a held, muted, looped, ignored or undeliverable mail may wait until the administrators "
        "are told; what comes meanwhile is in the same mail.",
    )
    every: Duration = Field(
        default=timedelta(days=1),
        description="How often they are told again of everything that still waits, until somebody sees to it "
        "('supportrelay queue release', 'retry' or 'drop').",
    )


class DkimConfig(Section):
    """A key for our own DKIM signature."""

    domain: Domain = Field(
        description="The signing domain (d=): what is sent with a From of exactly this domain is signed.",
        examples=["company.example"],
    )
    selector: Annotated[str, AfterValidator(_selector)] = Field(
        description="The selector (s=): the public key stands in DNS at SELECTOR._domainkey.DOMAIN.",
        examples=["relay2026"],
    )
    private_key: SecretStr | None = Field(
        default=None,
        description="Private key, PEM: RSA of 2048 bits or Ed25519; better private_key_file.",
        examples=["'${DKIM_KEY}'"],
    )
    private_key_file: FilePath | None = Field(
        default=None,
        description="File with the private key, PEM. 'supportrelay dkim keygen' makes one.",
        examples=["/etc/supportrelay/relay2026.pem"],
    )
