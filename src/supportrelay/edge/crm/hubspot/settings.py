"""What the HubSpot modules need to know; `bootstrap` fills it from the configuration."""

from collections.abc import Mapping
from dataclasses import field

from supportrelay.core.ticket import Stage
from supportrelay.core.value import value_class

__all__ = ["DeskSettings", "DirectorySettings", "HubSpotAccount"]


@value_class
class HubSpotAccount:
    """One HubSpot account and how it may be asked.

    Attributes:
        token: Of a service key, a private app or a project app; sent as Bearer. Never shown.
        base_url: ``https://api.hubapi.com``, without a slash at the end.
        api_version: ``2026-03`` ... in date-based paths, or ``legacy`` for v3 and v4 paths.
        calls_per_10s: Below the plan's burst. searches_per_s: of the account's five.
        calls_per_day: Of this relay; after them it asks nothing more until midnight UTC.
        timeout_s: For one call, from connecting to the last octet.
    """

    token: str = field(repr=False)
    base_url: str = "https://api.hubapi.com"
    api_version: str = "2026-03"
    calls_per_10s: int = 90
    searches_per_s: int = 4
    calls_per_day: int = 250_000
    timeout_s: float = 10.0


@value_class
class DirectorySettings:
    """How companies, deals and owners are read.

    Attributes:
        owner_properties: Of a deal, in the order of the owners; a multi-value property counts as several.
        filter_property, filter_values: Only companies with one of these values count; "" for all.
    """

    owner_properties: tuple[str, ...] = ("hubspot_owner_id", "relay_owner_2", "relay_owner_3", "relay_owner_4")
    filter_property: str = ""
    filter_values: tuple[str, ...] = ()


@value_class
class DeskSettings:
    """The pipeline that the relay keeps.

    Attributes:
        stages: Stage -> ids; the first is written, all are read.
        key_property: The ticket property with a unique value.
    """

    pipeline: str
    stages: Mapping[Stage, tuple[str, ...]] = field(default_factory=dict)
    key_property: str = "relay_thread_key"
