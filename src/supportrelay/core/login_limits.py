"""How guessing of passwords is slowed and stopped: counts by client and by user, for all workers together (C25)."""

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import IPv6Address, ip_address, ip_network

from supportrelay.core.value import value_class

__all__ = ["LoginKeys", "LoginLimits", "login_keys"]


@value_class
class LoginLimits:
    """The defaults are meant to stay.

    Attributes:
        slow_from: From this failure of a client on each next answer comes later (mox slows at the third too).
        first_delay_s, longest_delay_s: The delay doubles with each failure.
        per_session: With this failure of a session it ends.
        window: So long a failure counts; a client or user who has used up his failures is blocked as long, from the
            last of them on.
        per_address: Failures of one client address (IPv6: its /64).
        per_network: Of its surroundings (IPv4 /24, IPv6 /48): who guesses seldom has one address only.
        per_user: For one user name, from wherever. Spares the networks he logged in from before: else anybody could
            keep him out.
    """

    slow_from: int = 3
    first_delay_s: float = 1.0
    longest_delay_s: float = 8.0
    per_session: int = 5
    window: timedelta = timedelta(hours=1)
    per_address: int = 20
    per_network: int = 100
    per_user: int = 30

    def delay_s(self, failures: int) -> float:
        """How long the answer to a client's nth failure waits, in seconds."""
        if failures < self.slow_from:
            return 0.0
        doublings = min(failures - self.slow_from, 16)
        return float(min(self.first_delay_s * 2**doublings, self.longest_delay_s))


@value_class
class LoginKeys:
    """What the failures of one client and one user name count against.

    Attributes:
        address, network, user: Short texts; the user's is a digest, for a name that does not exist may be a password
            in the wrong field.
    """

    address: str
    network: str
    user: str

    def limits(self, limits: LoginLimits) -> dict[str, int]:
        """Key -> how many failures are too many."""
        return {self.address: limits.per_address, self.network: limits.per_network, self.user: limits.per_user}

    def is_client_blocked(self, counts: Mapping[str, int], limits: LoginLimits) -> bool:
        """The client or its surroundings have used up their failures."""
        return counts.get(self.address, 0) >= limits.per_address or counts.get(self.network, 0) >= limits.per_network

    def is_user_blocked(self, counts: Mapping[str, int], limits: LoginLimits) -> bool:
        """The user's failures are used up."""
        return counts.get(self.user, 0) >= limits.per_user


def login_keys(ip: str, name: str) -> LoginKeys:
    """Keys of a client by its printed IP address, and of a user name in comparing form, as typed if it has none."""
    digest = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=12).hexdigest()
    try:
        address = ip_address(ip)
    except ValueError:
        return LoginKeys(f"address:{ip}", f"network:{ip}", f"user:{digest}")
    near, wide = (64, 48) if isinstance(address, IPv6Address) else (32, 24)
    nearby = ip_network((address, near), strict=False)
    around = ip_network((address, wide), strict=False)
    return LoginKeys(f"address:{nearby}", f"network:{around}", f"user:{digest}")
