"""Rate limits as HubSpot keeps them, and counters of our own that no setting turns off (CRM_FACTS section 1 h)."""

from collections import deque
from typing import Any

from hubspot_double.settings import Settings

__all__ = ["Limits", "Peak"]


class Peak:
    """The highest number of calls in any rolling window."""

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self.most = 0
        self.total = 0
        self._seen: deque[float] = deque()

    def count(self, at: float) -> None:
        self._seen.append(at)
        while self._seen[0] <= at - self.window_s:
            self._seen.popleft()
        self.total += 1
        self.most = max(self.most, len(self._seen))

    def reset(self) -> None:
        self.most = self.total = 0
        self._seen.clear()


class Limits:
    """Times are monotonic seconds. Peaks count every call at its arrival, also those that are refused."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.searches_1s = Peak(1.0)
        self.general_10s = Peak(10.0)
        self.all_10s = Peak(10.0)
        self.refused = 0
        self.today = 0
        self._bursts: deque[float] = deque()
        self._searches: deque[float] = deque()

    def arrive(self, at: float, *, is_search: bool) -> None:
        self.all_10s.count(at)
        (self.searches_1s if is_search else self.general_10s).count(at)

    def admit(self, at: float, *, is_search: bool) -> str:
        """ "" when the call may go on, else the ``policyName`` of the limit it is over."""
        settings = self.settings
        _forget(self._bursts, at - 10.0)
        _forget(self._searches, at - 1.0)
        in_burst = not is_search or settings.search_counts_in_burst
        policy = ""
        if settings.calls_per_day and self.today >= settings.calls_per_day:
            policy = "DAILY"
        elif is_search and settings.searches_per_s and len(self._searches) >= settings.searches_per_s:
            policy = "SECONDLY"
        elif in_burst and settings.burst_per_10s and len(self._bursts) >= settings.burst_per_10s:
            policy = "TEN_SECONDLY_ROLLING"
        if policy:
            self.refused += 1
            return policy
        self.today += 1
        if in_burst:
            self._bursts.append(at)
        if is_search:
            self._searches.append(at)
        return ""

    def headers(self) -> dict[str, str]:
        """Of answers to other than search calls."""
        settings = self.settings
        return {
            "X-HubSpot-RateLimit-Max": str(settings.burst_per_10s),
            "X-HubSpot-RateLimit-Remaining": str(max(settings.burst_per_10s - len(self._bursts), 0)),
            "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
            "X-HubSpot-RateLimit-Daily": str(settings.calls_per_day),
            "X-HubSpot-RateLimit-Daily-Remaining": str(max(settings.calls_per_day - self.today, 0)),
        }

    def counters(self) -> dict[str, Any]:
        """What tests look at."""
        return {
            "most_searches_in_1s": self.searches_1s.most,
            "most_general_in_10s": self.general_10s.most,
            "most_calls_in_10s": self.all_10s.most,
            "searches": self.searches_1s.total,
            "general": self.general_10s.total,
            "calls": self.all_10s.total,
            "rate_limited": self.refused,
            "today": self.today,
        }

    def reset(self) -> None:
        """Counters and limits begin anew (the day's too)."""
        for peak in (self.searches_1s, self.general_10s, self.all_10s):
            peak.reset()
        self.refused = self.today = 0
        self._bursts.clear()
        self._searches.clear()


def _forget(seen: deque[float], until: float) -> None:
    while seen and seen[0] <= until:
        seen.popleft()
