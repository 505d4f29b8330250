"""The limits of automatic mail."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from supportrelay.config.robots import RobotsConfig
from supportrelay.core.robot_limits import Limit, RobotLimits


def test_the_defaults_are_those_of_the_rules() -> None:
    assert RobotsConfig().to_core() == RobotLimits()


def test_a_desk_may_have_others_or_none_of_a_kind() -> None:
    limits = RobotsConfig.model_validate({"same": [], "sender": ["5/1m", "20/1d"], "hold_for": "30m"}).to_core()

    assert limits.rates["same"] == ()
    assert limits.rates["sender"] == (Limit(5, timedelta(minutes=1)), Limit(20, timedelta(days=1)))
    assert limits.rates["domain"] == RobotLimits().rates["domain"]
    assert (limits.hold_for, limits.longest) == (timedelta(minutes=30), timedelta(days=1))


@pytest.mark.parametrize("rate", ["", "10", "0/1m", "10/0s", "10/8d", "x/1m", "10/1", "-1/1m"])
def test_a_rate_that_is_none_is_refused(rate: str) -> None:
    with pytest.raises(ValidationError):
        RobotsConfig.model_validate({"same": [rate]})
