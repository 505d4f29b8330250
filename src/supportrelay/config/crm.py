"""Customers, deals, owners and tickets: one model for each kind of CRM, chosen by ``kind``.

`hubspot` has HubSpot's. What is needed only together with another value (a token, a pipeline) is checked in
`crm_checks`, so that every mistake is told at once.
"""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from supportrelay.config.hubspot import HubSpotAccountConfig, HubSpotDirectoryConfig, HubSpotTicketsConfig
from supportrelay.config.scalars import Duration
from supportrelay.config.section import Section

__all__ = ["BuiltinDirectoryConfig", "BuiltinTicketsConfig", "CrmConfig", "DirectoryConfig", "TicketsConfig"]

_KINDS = ("builtin", "hubspot")
_LATER_KINDS = frozenset({"zendesk", "jira"})


def _kind(value: Any) -> Any:
    """Name the kind that is not named, and refuse those that are none or come later, before their own keys are read."""
    if not isinstance(value, dict):
        return value
    kind = value.get("kind")
    if kind is None:
        return value | {"kind": "builtin"}
    if kind in _KINDS:
        return value
    told = f"{kind} comes in a later version" if kind in _LATER_KINDS else "there is no such kind"
    raise PydanticCustomError("relay", "{told}; builtin and hubspot are there", {"told": told, "at": "kind"})


class BuiltinDirectoryConfig(Section):
    """Companies in the relay's own store."""

    kind: Literal["builtin"] = Field(
        default="builtin",
        description="Who owns this customer. builtin: companies brought in with 'supportrelay crm import'. hubspot: "
        "companies, deals and owners of a HubSpot account, see docs/hubspot.md.",
    )


class BuiltinTicketsConfig(Section):
    """Tickets in the relay's own store."""

    kind: Literal["builtin"] = Field(
        default="builtin",
        description="Where tickets live. builtin: in the relay's own store. hubspot: on HubSpot's board, which "
        "'supportrelay crm setup' prepares. When both are hubspot, the account (token to timeout) stands under "
        "directory alone.",
    )


DirectoryConfig = Annotated[
    BuiltinDirectoryConfig | HubSpotDirectoryConfig, Field(discriminator="kind"), BeforeValidator(_kind)
]
TicketsConfig = Annotated[
    BuiltinTicketsConfig | HubSpotTicketsConfig, Field(discriminator="kind"), BeforeValidator(_kind)
]


class CrmConfig(Section):
    """Customers, deals, owners and tickets."""

    max_wait: Duration = Field(
        default=timedelta(seconds=60),
        description="How long a mail waits for a CRM that does not answer; then Allmember gets it.",
    )
    cache_for: Duration = Field(
        default=timedelta(minutes=5),
        description="How long an answer of the CRM is used without asking again. 'supportrelay crm refresh' forgets "
        "it at once.",
    )
    directory: DirectoryConfig = Field(default=BuiltinDirectoryConfig(), description="Who owns this customer.")
    tickets: TicketsConfig = Field(default=BuiltinTicketsConfig(), description="Where tickets live.")

    @property
    def is_set_up(self) -> bool:
        """The desk's pipeline is known, or none is needed."""
        return not isinstance(self.tickets, HubSpotTicketsConfig) or self.tickets.is_set_up

    @property
    def hubspot_account(self) -> dict[str, Any] | None:
        """Values for `HubSpotAccount`: one account serves both roles; None when HubSpot is not asked."""
        for role in (self.directory, self.tickets):
            if isinstance(role, HubSpotAccountConfig):
                return role.account_values
        return None

    @property
    def hubspot_directory(self) -> dict[str, Any] | None:
        """Values for `DirectorySettings`; None when owners come from elsewhere."""
        return self.directory.directory_values if isinstance(self.directory, HubSpotDirectoryConfig) else None

    @property
    def hubspot_desk(self) -> dict[str, Any] | None:
        """Values for `DeskSettings`, also before ``crm setup`` (then pipeline "" and no stages); None without."""
        return self.tickets.desk_values if isinstance(self.tickets, HubSpotTicketsConfig) else None

    @property
    def log_mail(self) -> str:
        """Which mail is logged on its ticket at the desk: ``all``, ``inbound`` or ``none``."""
        return self.tickets.log_mail if isinstance(self.tickets, HubSpotTicketsConfig) else "all"

    @property
    def poll_every(self) -> timedelta:
        """How often the desk is asked what changed."""
        return self.tickets.poll_every if isinstance(self.tickets, HubSpotTicketsConfig) else timedelta(seconds=30)

    @property
    def search_lag(self) -> timedelta:
        """How far each poll looks back."""
        return self.tickets.search_lag if isinstance(self.tickets, HubSpotTicketsConfig) else timedelta(minutes=5)

    @property
    def webhook_secret(self) -> str:
        """The client secret by which webhooks prove themselves; "" when there are none."""
        secret = self.tickets.webhook_secret if isinstance(self.tickets, HubSpotTicketsConfig) else None
        return secret.get_secret_value() if secret else ""
