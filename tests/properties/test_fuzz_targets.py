"""The fuzzer's targets hold for what it begins with; `make fuzz` goes on from there."""

from collections.abc import Callable

import pytest

from fuzz.targets import TARGETS
from properties.nasty import PLACES, UNITS, nasty_mail

# Every target takes every unit, at a place that changes with it; all pairs would take minutes.
_PLACES = list(PLACES)
MAILS = [nasty_mail(_PLACES[number % len(_PLACES)], unit, 60) for number, unit in enumerate(UNITS)]


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_a_target_holds_for_its_seeds(target: Callable[[bytes], None]) -> None:
    for octets in [b"", *UNITS.values(), *MAILS]:
        target(octets)
