"""How the property tests run: the same examples every time, no clock, no database of examples."""

from hypothesis import HealthCheck, settings

__all__ = ["SOME"]

_QUIET = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]

SOME = settings(max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=_QUIET)
