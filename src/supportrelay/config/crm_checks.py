"""What of the CRM's settings fits together, and what ``crm setup`` has still to find."""

from collections.abc import Iterator

from supportrelay.config.hubspot import ACCOUNT_KEYS, HubSpotAccountConfig, HubSpotTicketsConfig
from supportrelay.config.models import Config
from supportrelay.config.problem import KeyPath, Problem

__all__ = ["find_crm_conflicts", "find_unfinished"]

_DIRECTORY: KeyPath = ("crm", "directory")
_TICKETS: KeyPath = ("crm", "tickets")


def find_crm_conflicts(config: Config) -> Iterator[Problem]:
    """Values that do not fit together."""
    directory, tickets = config.crm.directory, config.crm.tickets
    if isinstance(directory, HubSpotAccountConfig):
        yield from _token(directory, _DIRECTORY)
    if isinstance(tickets, HubSpotTicketsConfig):
        if isinstance(directory, HubSpotAccountConfig):
            for key in ACCOUNT_KEYS:
                if key in tickets.model_fields_set and not (key == "token" and tickets.token_file):
                    yield Problem((*_TICKETS, key), "stands in crm.directory, whose account is used; take it out here")
        else:
            yield from _token(tickets, _TICKETS)
        if tickets.webhook_secret is not None and config.web.public_url is None:
            key = "webhook_secret_file" if tickets.webhook_secret_file else "webhook_secret"
            yield Problem((*_TICKETS, key), "needs web.public_url: HubSpot signs the address that it calls")


def _token(role: HubSpotAccountConfig, path: KeyPath) -> Iterator[Problem]:
    if role.token is None:
        yield Problem((*path, "token"), "is required (or token_file) by kind hubspot")


def find_unfinished(config: Config) -> Iterator[Problem]:
    """What a daemon needs and ``crm setup`` tells; commands for the setting up do without."""
    tickets = config.crm.tickets
    if isinstance(tickets, HubSpotTicketsConfig) and not tickets.is_set_up:
        missing = "pipeline" if tickets.pipeline is None else "stages"
        yield Problem(
            (*_TICKETS, missing), "is required; 'supportrelay crm setup' finds or makes the board and prints the lines"
        )
