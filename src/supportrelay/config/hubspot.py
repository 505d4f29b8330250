"""HubSpot as directory and as desk; which of the keys go together is checked in `crm_checks`."""

import ipaddress
import re
from datetime import timedelta
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from supportrelay.config.scalars import Duration, FilePath, Text, WebUrl
from supportrelay.config.section import Section
from supportrelay.core.ticket import Stage, parse_stage

__all__ = [
    "ACCOUNT_KEYS",
    "CompanyFilterConfig",
    "HubSpotAccountConfig",
    "HubSpotDirectoryConfig",
    "HubSpotTicketsConfig",
]

_MAPPED = (Stage.NEW, Stage.WAITING, Stage.CLOSED)
_VERSION = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])")
_LEGACY = frozenset({"legacy", "v3"})
_PROPERTY = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_MOST_PROPERTIES = 8


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _base_url(text: str) -> str:
    """The address without a slash at its end; a token must not travel in the clear."""
    parts = urlsplit(text)
    if parts.username is not None or parts.password is not None:
        raise PydanticCustomError("relay", "must not hold a user or password; the token has a key of its own")
    if parts.query or parts.fragment:
        raise ValueError("must end with the host or a path: no ? and no #")
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise ValueError("must begin with https:// (http:// is for this machine alone: the token would be readable)")
    return text.rstrip("/")


def _api_version(text: str) -> str:
    if text.lower() in _LEGACY:
        return "legacy"
    if not _VERSION.fullmatch(text):
        raise ValueError("must be a version like 2026-03, or legacy for the v3 and v4 paths")
    return text


def _property(text: str) -> str:
    if not _PROPERTY.fullmatch(text):
        raise ValueError("not the internal name of a property: letters, digits and _ (HubSpot shows it as </>)")
    return text


def _each_once(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
    if twice is not None:
        raise ValueError(f"{twice} stands there twice")
    return names


def _secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise PydanticCustomError("relay", "must be one word of plain characters, as HubSpot shows it")
    return value


def _stage(value: Any) -> Any:
    if isinstance(value, Stage):
        return value
    try:
        return parse_stage(str(value))
    except ValueError:
        raise ValueError("must be one of NEW, WAITING (対応中) and CLOSED") from None


def _no_stage_twice(value: Any) -> Any:
    """Two words for one stage would silently leave one of them out."""
    if isinstance(value, dict):
        seen: dict[Stage, Any] = {}
        for word in value:
            try:
                stage = _stage(word)
            except ValueError:
                continue
            if stage in seen:
                raise PydanticCustomError(
                    "relay", "is the same stage as {other}", {"other": str(seen[stage]), "at": str(word)}
                )
            seen[stage] = word
    return value


def _whole_board(stages: dict[Stage, tuple[str, ...]]) -> dict[Stage, tuple[str, ...]]:
    missing = [stage for stage in _MAPPED if stage not in stages]
    if missing:
        raise ValueError(f"{missing[0]} is missing; each of NEW, WAITING (対応中) and CLOSED needs at least one id")
    places: dict[str, Stage] = {}
    for stage, ids in stages.items():
        for one in ids:
            if one in places:
                raise ValueError(f"the id {one} stands under {places[one]} and {stage}; a stage means one thing")
            places[one] = stage
    return stages


def _timeout(value: timedelta) -> timedelta:
    if not timedelta(seconds=1) <= value <= timedelta(seconds=100):
        raise ValueError("must be between 1s and 100s")
    return value


def _poll_every(value: timedelta) -> timedelta:
    if not timedelta(seconds=1) <= value <= timedelta(hours=1):
        raise ValueError("must be between 1s and 1h")
    return value


def _search_lag(value: timedelta) -> timedelta:
    if value > timedelta(hours=1):
        raise ValueError("must be at most 1h")
    return value


Secret = Annotated[SecretStr, AfterValidator(_secret)]
Property = Annotated[str, AfterValidator(_property)]


class HubSpotAccountConfig(Section):
    """One HubSpot account and how it is asked."""

    token: Secret | None = Field(
        default=None,
        description="Token of a service key, of a project app or of an old private app. Better kept out of this file: "
        "token_file, or a variable of the environment.",
        examples=["'${HUBSPOT_TOKEN}'"],
    )
    token_file: FilePath | None = Field(
        default=None,
        description="File that holds the token and nothing else.",
        examples=["/etc/supportrelay/token"],
    )
    base_url: Annotated[WebUrl, AfterValidator(_base_url)] = Field(
        default="https://api.hubapi.com",
        description="Where HubSpot answers. https; http only to this machine, for a test server.",
    )
    api_version: Annotated[str, AfterValidator(_api_version)] = Field(
        default="2026-03",
        description="Version in the paths: HubSpot supports each for 18 months. legacy: the v3 and v4 paths, of which "
        "the latter end on 30 March 2027.",
    )
    calls_per_10s: Annotated[int, Field(ge=1, le=1000)] = Field(
        default=90,
        description="Calls in ten seconds, all workers together. Keep it below the burst of your plan (100 for Free "
        "and Starter, 190 for Professional and Enterprise), which all programs of one key share.",
    )
    calls_per_day: Annotated[int, Field(ge=100, le=100_000_000)] = Field(
        default=250_000,
        description="Calls of the relay in a day (UTC); after them it asks nothing more until midnight. The account's "
        "limit is shared with its other programs.",
    )
    timeout: Annotated[Duration, AfterValidator(_timeout)] = Field(
        default=timedelta(seconds=10), description="Longest wait for one answer, from connecting to its last octet."
    )

    @property
    def account_values(self) -> dict[str, Any]:
        """The plain values under the names of `edge.crm.hubspot.settings.HubSpotAccount`."""
        return {
            "token": self.token.get_secret_value() if self.token else "",
            "base_url": self.base_url,
            "api_version": self.api_version,
            "calls_per_10s": self.calls_per_10s,
            "calls_per_day": self.calls_per_day,
            "timeout_s": self.timeout.total_seconds(),
        }


ACCOUNT_KEYS = tuple(HubSpotAccountConfig.model_fields)
"""Keys of the account, which stand where the account is named first: the directory, else the tickets."""


class CompanyFilterConfig(Section):
    """Which companies count."""

    property: Property = Field(
        default="lifecyclestage", description="Internal name of a property of companies; their lifecycle stage."
    )
    values: Annotated[tuple[Text, ...], Field(min_length=1)] = Field(
        description="Its internal values; a company with any of them counts.",
        examples=["[customer, opportunity]"],
    )


class HubSpotDirectoryConfig(HubSpotAccountConfig):
    """Companies, deals and owners of a HubSpot account."""

    kind: Literal["hubspot"] = "hubspot"
    owner_properties: Annotated[
        tuple[Property, ...], Field(min_length=1, max_length=_MOST_PROPERTIES), AfterValidator(_each_once)
    ] = Field(
        default=("hubspot_owner_id", "relay_owner_2", "relay_owner_3", "relay_owner_4"),
        description="Properties of a deal that hold its owners, first owner first, one to eight; the first four "
        "owners get the mail. One property with several users counts as several. Collaborators: "
        "hs_all_collaborator_owner_ids.",
    )
    company_filter: CompanyFilterConfig | None = Field(
        default=None,
        description="Only companies that have to do with you; mail from others goes to Allmember.",
    )

    @property
    def directory_values(self) -> dict[str, Any]:
        """The plain values under the names of `edge.crm.hubspot.settings.DirectorySettings`."""
        only = self.company_filter
        return {
            "owner_properties": self.owner_properties,
            "filter_property": only.property if only else "",
            "filter_values": only.values if only else (),
        }


StageIds = dict[
    Annotated[Stage, BeforeValidator(_stage)],
    Annotated[tuple[Text, ...], Field(min_length=1)],
]


class HubSpotTicketsConfig(HubSpotAccountConfig):
    """The pipeline of a HubSpot account that the relay keeps."""

    kind: Literal["hubspot"] = "hubspot"
    pipeline: Text | None = Field(
        default=None,
        description="Id of the ticket pipeline. 'supportrelay crm setup' finds or makes it, and prints this and the "
        "next key.",
        json_schema_extra={"default": "none; needed to serve"},
        examples=["'0'"],
    )
    stages: Annotated[StageIds, BeforeValidator(_no_stage_twice), AfterValidator(_whole_board)] | None = Field(
        default=None,
        description="Which of its stages (ids) mean NEW, WAITING (対応中) and CLOSED. The first of each is written, "
        "all are read; tickets in other stages are left alone until a customer writes.",
        json_schema_extra={"default": "none; needed to serve"},
        examples=["{NEW: ['1'], WAITING: ['2', '3'], CLOSED: ['4']}"],
    )
    key_property: Property = Field(
        default="relay_thread_key",
        description="Property of tickets, with unique values, by which one of ours is known again. 'supportrelay crm "
        "setup' makes it. Do not change it later.",
    )
    log_mail: Literal["all", "inbound", "none"] = Field(
        default="all",
        description="Which mail is logged on its ticket: all, inbound (of customers only) or none. Nothing is sent "
        "by it.",
    )
    poll_every: Annotated[Duration, AfterValidator(_poll_every)] = Field(
        default=timedelta(seconds=30),
        description="How often HubSpot is asked for tickets that people changed there.",
    )
    search_lag: Annotated[Duration, AfterValidator(_search_lag)] = Field(
        default=timedelta(minutes=5),
        description="How late a change may appear in HubSpot's search; so far each poll looks back once more.",
    )
    webhook_secret: Secret | None = Field(
        default=None,
        description="Client secret of a project app whose webhooks come to PUBLIC_URL/hooks/hubspot: changes are then "
        "known at once. Service keys have no webhooks; polling goes on either way.",
        examples=["'${HUBSPOT_CLIENT_SECRET}'"],
    )
    webhook_secret_file: FilePath | None = Field(
        default=None,
        description="File that holds the client secret and nothing else.",
        examples=["/etc/supportrelay/webhook_secret"],
    )

    @property
    def is_set_up(self) -> bool:
        """Pipeline and stages are known; before, only ``crm setup`` and ``crm check`` may run."""
        return self.pipeline is not None and self.stages is not None

    @property
    def desk_values(self) -> dict[str, Any]:
        """The plain values under the names of `edge.crm.hubspot.settings.DeskSettings`."""
        return {"pipeline": self.pipeline or "", "stages": self.stages or {}, "key_property": self.key_property}
