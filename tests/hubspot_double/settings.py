"""What may be set about the double, at the start (``--set name=value``) and later (`DoubleClient.set`)."""

from dataclasses import dataclass, field
from typing import Any

__all__ = ["ALL_SCOPES", "DEFAULT_TOKEN", "Settings"]

DEFAULT_TOKEN = "pat-na1-double-0000"
ALL_SCOPES = (
    "crm.objects.companies.read",
    "crm.objects.companies.write",
    "crm.objects.contacts.read",
    "crm.objects.contacts.write",
    "crm.objects.deals.read",
    "crm.objects.deals.write",
    "crm.objects.owners.read",
    "crm.schemas.companies.read",
    "crm.schemas.companies.write",
    "crm.schemas.contacts.read",
    "crm.schemas.contacts.write",
    "crm.schemas.deals.read",
    "crm.schemas.deals.write",
    "sales-email-read",
    "tickets",
)


@dataclass
class Settings:
    """Times in seconds.

    Attributes:
        tokens: Bearer token -> scopes.
        burst_per_10s, searches_per_s, calls_per_day: The account's limits; 0 is none.
        search_counts_in_burst: Searches also use the burst.
        search_lag_s: How long a write takes to show up in searches.
        latency_s: Added to every answer.
        clock_skew_s: The double's clock is ahead by so much.
        association_page, list_page: Most results of one page.
        ids_as_numbers: ``toObjectId`` is a JSON number (the guide) or a string (the SDK).
        results_reversed: Batch answers are not in the order of the inputs.
        tells_is_closed: Deals have ``hs_is_closed`` and ``hs_is_closed_won``.
        tells_history: False: ``propertiesWithHistory`` has no ``sourceType`` and the like.
        contains_token: ``parts``: a domain is several tokens, with false hits; ``whole``: it is one.
        retry_after_s: Sent with our own 429s; None: no such header, as HubSpot.
        forbidden_moves: Pipeline rules, each ``{"pipeline": id, "from": stage id, "to": stage id}``.
        first_stages: pipeline id -> the only stages a record may be created in.
        most_ticket_pipelines: More are refused (a paid Service Hub has more than one).
        violate_unknown: Paths that are not described are violations.
    """

    tokens: dict[str, list[str]] = field(default_factory=lambda: {DEFAULT_TOKEN: list(ALL_SCOPES)})
    portal_id: int = 4711
    user_id: int = 9586504
    burst_per_10s: int = 100
    searches_per_s: int = 5
    calls_per_day: int = 250_000
    search_counts_in_burst: bool = True
    search_lag_s: float = 0.0
    latency_s: float = 0.0
    clock_skew_s: float = 0.0
    association_page: int = 500
    list_page: int = 100
    ids_as_numbers: bool = True
    results_reversed: bool = True
    tells_is_closed: bool = True
    tells_history: bool = True
    contains_token: str = "parts"
    retry_after_s: float | None = None
    forbidden_moves: list[dict[str, str]] = field(default_factory=list)
    first_stages: dict[str, list[str]] = field(default_factory=dict)
    most_ticket_pipelines: int = 15
    violate_unknown: bool = True

    def change(self, changes: dict[str, Any]) -> None:
        """Set these; an unknown name is a KeyError."""
        for name, value in changes.items():
            if name not in self.__dataclass_fields__:
                raise KeyError(f"no such setting: {name}")
            setattr(self, name, value)
