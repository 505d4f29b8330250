"""Config: the whole configuration; each field has a unit, a default and a reason."""

import os
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, PrivateAttr, SecretStr

from supportrelay.config.address import AddressConfig, Language
from supportrelay.config.crm import CrmConfig
from supportrelay.config.desk import DigestConfig, DkimConfig, KeepConfig, SpamConfig, StagesConfig, StorageConfig
from supportrelay.config.dns import DnsConfig
from supportrelay.config.limits import LimitsConfig
from supportrelay.config.network import GatewayConfig, ListenConfig, OutboundConfig, WebConfig
from supportrelay.config.place import is_for_everybody
from supportrelay.config.robots import RobotsConfig
from supportrelay.config.rule_conditions import DEFAULT_ZONE
from supportrelay.config.rules import RuleConfig, build_rules, rule_recipients
from supportrelay.config.scalars import (
    Address,
    Domain,
    DomainRule,
    Duration,
    FilePath,
    Host,
    Network,
    Size,
    Text,
    TimeZone,
)
from supportrelay.config.section import Section, later
from supportrelay.config.source import Source
from supportrelay.core.rule_patterns import CompilePattern
from supportrelay.core.rules import Rule
from supportrelay.core.settings import Desk
from supportrelay.core.stock_subjects import STOCK_SUBJECTS
from supportrelay.core.subject import normalise_subject

__all__ = ["Config"]

_MOST_WORKERS = 4
_DELIMITERS = frozenset("+-_=~#!$%&*^|")
_RULES = """
- name: newsletters are no tickets
  when: {any: [{automatic: newsletter}, {from: '*@news.example'}]}
  then: {ticket: none}
- name: urgent to the second line
  when: {direction: inbound, subject: '/至急|urgent/i'}
  then: {route_to: {addresses: [ann@company.example]}, ticket: {always_new: true, priority: high}}
"""


def _usable_cores() -> int:
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, _MOST_WORKERS)


def _own_name() -> str:
    name = socket.getfqdn().rstrip(".").lower()
    return name if name.isascii() and name and " " not in name else "localhost"


def _secrets(value: Any) -> Iterator[str]:
    """The values of all `SecretStr` in a section."""
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _secrets(getattr(value, name))
    elif isinstance(value, tuple):
        for one in value:
            yield from _secrets(one)


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, dict) else value


def _delimiter(text: str) -> str:
    if text not in _DELIMITERS:
        raise ValueError(f"must be one character of {''.join(sorted(_DELIMITERS))}")
    return text


class Config(Section):
    """The configuration of one instance; a reload makes a new one."""

    addresses: Annotated[tuple[AddressConfig, ...], Field(min_length=1)] = Field(
        description="The support addresses, one or more. A mail to several belongs to the first of them in To, else "
        "in Cc."
    )
    internal_domains: Annotated[tuple[DomainRule, ...], Field(min_length=1)] = Field(
        description="Your own mail domains: whoever writes from them is staff, when proven. Exactly these; "
        "'*.company.example' stands for the subdomains.",
        examples=["[company.example]"],
    )
    staff: tuple[Address, ...] = Field(
        default=(),
        description="Staff with addresses elsewhere. Owners and Allmembers are staff without being named here.",
        examples=["[partner@agency.example]"],
    )
    admins: Annotated[tuple[Address, ...], Field(min_length=1)] = Field(
        description="Who gets postmaster and abuse mail, alerts and the digest of held mail. None of the addresses "
        "above: an alert about a jam must not go through it.",
        examples=["[it@company.example]"],
    )
    groups: tuple[Address, ...] = Field(
        default=(),
        description="Mailing lists and groups of your own: what they add to a mail (List-Id, a rewritten From) does "
        "not make it a foreign list's mail.",
        examples=["[everybody@company.example]"],
        json_schema_extra=later("lists of your own are not told from others"),
    )
    teams: dict[str, Annotated[tuple[Address, ...], Field(min_length=1)]] = Field(
        default={},
        description="Teams that rules route mail to, each a list of addresses.",
        examples=["{second-line: [ann@company.example, bob@company.example]}"],
    )
    language: Language = Field(
        default="en",
        description="Language of the desk where an address names none, and of answers to commands: ja or en.",
        examples=["ja"],
    )
    timezone: TimeZone = Field(
        default=DEFAULT_ZONE,
        description="Time zone of the office hours in rules that name none.",
        examples=["Asia/Tokyo"],
    )
    listen: Annotated[tuple[ListenConfig, ...], Field(min_length=1)] = Field(
        default=(ListenConfig(),), description="Where mail comes in. Changing host or port needs a restart."
    )
    limits: LimitsConfig = Field(
        default=LimitsConfig(), description="How much of anything a client gets. Changes need a restart."
    )
    hostname: Host = Field(
        default_factory=_own_name,
        description="Name of this machine in EHLO and Received: the one its address resolves back to, else others "
        "distrust it.",
        json_schema_extra={"default": "the machine's full name"},
        examples=["relay.company.example"],
    )
    authserv_id: Text = Field(
        default_factory=lambda values: values.get("hostname", "localhost"),
        description="Our name in Authentication-Results. Foreign ones that use it are removed.",
        json_schema_extra={"default": "hostname"},
        examples=["relay.company.example"],
    )
    trusted_networks: tuple[Network, ...] = Field(
        default=(),
        description="Networks through which only your own people can send: whatever comes from there is proven staff. "
        "Keep it small; a mail gateway belongs under gateways.",
        examples=["[192.0.2.10]"],
    )
    gateways: tuple[GatewayConfig, ...] = Field(
        default=(), description="Machines that pass on everybody's mail to us: Google Workspace, a spam filter."
    )
    trusted_arc_sealers: tuple[Domain, ...] = Field(
        default=(),
        description="Domains whose ARC seal is believed about a mail that was changed on its way.",
        examples=["[google.com]"],
    )
    dns: DnsConfig = Field(
        default=DnsConfig(), description="Where SPF, DKIM and DMARC of senders are looked up, for mail from outside."
    )
    outbound: Annotated[tuple[OutboundConfig, ...], BeforeValidator(_as_list), Field(min_length=1)] = Field(
        description="The smarthost that takes our mail. A list of them is tried in order: the next when one cannot be "
        "reached.",
        json_schema_extra={"single": True},
    )
    storage: StorageConfig = Field(default=StorageConfig(), description="Where everything is kept.")
    crm: CrmConfig = Field(default=CrmConfig(), description="Customers, deals, owners and tickets.")
    web: WebConfig = Field(default=WebConfig(), description="The web port: the board, health and metrics.")
    spam: SpamConfig = Field(default=SpamConfig(), description="What a spam filter in front of the relay says.")
    robots: RobotsConfig = Field(
        default=RobotsConfig(),
        description="How much automatic mail is passed on before it is held for a person: the end of loops.",
    )
    ticket_stages: StagesConfig = Field(
        default=StagesConfig(),
        description="What mail does to a ticket's stage: NEW, WAITING (対応中), CLOSED or keep.",
    )
    rules: tuple[RuleConfig, ...] = Field(
        default=(),
        description="Rules in order: the first that matches decides, unless it says 'continue: true'. "
        "'supportrelay explain' shows what they do to a mail. A rule may carry examples; a file whose examples come "
        "out otherwise is not loaded. docs/rules.md has every condition and action.",
        examples=[_RULES],
    )
    free_mail: tuple[Domain, ...] = Field(
        default=(),
        description="More domains of free-mail, carriers and providers, added to the built-in list: never matched to "
        "a company.",
        examples=["[mail.provider.example]"],
    )
    max_size: Size = Field(
        default=50 * 1024 * 1024,
        description="Largest message taken, in octets or with a unit (MB, MiB); offered as SIZE. Many mailboxes take "
        "no more than 25 MB.",
        json_schema_extra={"default": "50MiB"},
        examples=["50MiB"],
    )
    recipient_delimiter: Annotated[str, AfterValidator(_delimiter)] = Field(
        default="+",
        description="What separates an address from its detail: support+detail@. As your mail server does it.",
        examples=["'+'"],
    )
    subject_tags: tuple[Text, ...] = Field(
        default=("[EXTERNAL]", "[社外]"),
        description="Tags that mail servers put into subjects; left out when subjects are compared.",
    )
    stock_subjects: tuple[Text, ...] = Field(
        default=(),
        description="More subjects that many write and that therefore never put a mail on a ticket; added to the "
        "built-in Japanese and English ones (お問い合わせ, 請求書, invoice ...).",
        examples=["[ご注文の件, your order]"],
    )
    failover_after: Duration = Field(
        default=timedelta(hours=1),
        description="When nobody has got a mail for so long, Allmember gets it too; retries go on.",
    )
    give_up_after: Duration = Field(
        default=timedelta(days=5), description="How long a copy is tried (RFC 5321 §4.5.4.1: four or five days)."
    )
    digest: DigestConfig = Field(
        default=DigestConfig(), description="The mail to the administrators about what waits for a person."
    )
    keep: KeepConfig = Field(
        default=KeepConfig(),
        description="How long messages are kept after they are over; what is under way, held or dead stays whatever "
        "its age (docs/privacy.md).",
    )
    dkim: Annotated[tuple[DkimConfig, ...], BeforeValidator(_as_list)] = Field(
        default=(),
        description="Keys that sign copies and what the relay writes itself. Two of one domain, an RSA and an Ed25519 "
        "one, give two signatures. Mail that your people submit is signed when its From is of such a domain.",
    )
    workers: Annotated[int, Field(ge=1, le=64)] = Field(
        default_factory=_usable_cores,
        description="Processes that take in and send mail. More than the machine has cores gains nothing.",
        json_schema_extra={"default": f"as many as usable cores, at most {_MOST_WORKERS}"},
        examples=["2"],
    )
    banner_folder: FilePath | None = Field(
        default=None,
        description="Folder with banner templates of your own (ja.txt.j2, ja.html.j2 ...); what is not there comes "
        "from the ones we ship.",
        json_schema_extra={"default": "the folder 'banner' beside this file, when there is one"},
        examples=["banner"],
    )

    _path: Path = PrivateAttr(default=Path("supportrelay.yaml"))
    _source: Source | None = PrivateAttr(default=None)

    @property
    def path(self) -> Path:
        """The file this was read from."""
        return self._path

    @property
    def state_folder(self) -> Path:
        """Where the store, the control socket and the outbox stand."""
        return self.storage.path.parent

    @property
    def outbox_folder(self) -> Path | None:
        """Where outgoing mail is kept instead of being sent; None when it is sent."""
        outbox = self.outbound[0].outbox
        if isinstance(outbox, Path):
            return outbox
        return self.state_folder / "outbox" if outbox else None

    @property
    def banner_templates(self) -> Path | None:
        """The folder with the desk's own templates, None without."""
        beside = self._path.parent / "banner"
        return self.banner_folder or (beside if beside.is_dir() else None)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Passwords, tokens and keys in use: what the log must never show."""
        return tuple(_secrets(self))

    def where(self, *path: str | int) -> str:
        """``FILE:LINE:COLUMN`` of the value at a key path, or of what is nearest around it."""
        return self._source.where(path) if self._source else str(self._path)

    @property
    def has_one_outbound(self) -> bool:
        """``outbound`` was written as one mapping, not as a list."""
        return self._is_mapping("outbound")

    def dkim_path(self, number: int) -> tuple[str | int, ...]:
        """Key path of a DKIM key; one that is no list is written without a number."""
        return ("dkim",) if self._is_mapping("dkim") else ("dkim", number)

    def _is_mapping(self, key: str) -> bool:
        values = self._source.values if self._source else None
        return isinstance(values, dict) and isinstance(values.get(key), dict)

    def is_in_plain_sight(self, *path: str | int) -> bool:
        """A secret that stands in this file itself, and the file may be read by every user of the machine."""
        value: Any = self._source.values if self._source else None
        for step in path:
            if isinstance(step, int):
                value = value[step] if isinstance(value, list) and step < len(value) else None
            else:
                value = value.get(step) if isinstance(value, dict) else None
        if value is None or self._source is None or path in self._source.concealed:
            return False
        return is_for_everybody(self._path)

    def placed(self, path: Path, source: Source) -> Self:
        """The same configuration, which now knows its file and the lines of its values."""
        self._path = path
        self._source = source
        return self

    def rule_recipients(self) -> tuple[str, ...]:
        """Addresses and ``*@domain`` that only rules know."""
        return rule_recipients(self.rules)

    def core_rules(self, compile_pattern: CompilePattern) -> tuple[Rule, ...]:
        """The rules as decisions use them; ``compile_pattern`` is `edge.patterns.compile_pattern`.

        Raises:
            InputError: A rule cannot be used; `load` has told that already.
        """
        return build_rules(self.rules, compile_pattern, teams=self.teams, timezone=self.timezone)

    def desk(self) -> Desk:
        """The plain values that decisions use."""
        return Desk(
            addresses=tuple(
                a.to_core(language=self.language, delimiter=self.recipient_delimiter) for a in self.addresses
            ),
            internal_domains=self.internal_domains,
            admins=tuple(dict.fromkeys(self.admins)),
            hostname=self.hostname,
            authserv_id=self.authserv_id,
            staff=frozenset(self.staff),
            recipient_delimiter=self.recipient_delimiter,
            rule_recipients=self.rule_recipients(),
            ticket_stages=self.ticket_stages.to_core(),
            spam=self.spam.to_core(),
            subject_tags=self.subject_tags,
            stock_subjects=tuple(
                dict.fromkeys(
                    normalise_subject(one, self.subject_tags) for one in (*STOCK_SUBJECTS, *self.stock_subjects)
                )
            ),
            public_url=(self.web.public_url or "").rstrip("/"),
            original_recipients={
                one.authserv_id: tuple(name.lower() for name in one.original_recipient) for one in self.gateways
            },
            max_size_octets=self.max_size,
            crm_cache_for=self.crm.cache_for,
            crm_max_wait=self.crm.max_wait,
            desk_kind=self.crm.tickets.kind,
            desk_log=self.crm.log_mail,
            failover_after=self.failover_after,
            give_up_after=self.give_up_after,
            robot_limits=self.robots.to_core(),
            digest_after=self.digest.after,
            digest_every=self.digest.every,
        )
