"""Fixtures for test modules: ``from hubspot_double.fixtures import hubspot, hubspot_with_relay``."""

from collections.abc import Iterator

import pytest

from hubspot_double.process import HubSpotDouble

__all__ = ["hubspot", "hubspot_with_relay"]


@pytest.fixture
def hubspot() -> Iterator[HubSpotDouble]:
    """An empty account in which `crm setup` has not run; nothing may violate the API's description."""
    with HubSpotDouble.start() as double:
        yield double
        double.assert_no_violations()


@pytest.fixture
def hubspot_with_relay() -> Iterator[HubSpotDouble]:
    """The same with the relay's properties."""
    with HubSpotDouble.start(relay_properties=True) as double:
        yield double
        double.assert_no_violations()
