"""Office and Rulebook: what the stations work with; `bootstrap` fills them once, SIGHUP swaps the Rulebook."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from supportrelay.core.banner import Banner, BannerValues
from supportrelay.core.membership import Membership
from supportrelay.core.ports import Courier, Domains, Lease, OwnerDirectory, SenderProver, SigningKey, Store
from supportrelay.core.rules import Rule, names_condition
from supportrelay.core.settings import Desk, SupportAddress
from supportrelay.flow.meter import Meter

__all__ = ["Banners", "Office", "Rulebook", "Sealer"]


class Banners(Protocol):
    """Writes banners from templates."""

    def render(self, name: str, language: str, values: BannerValues) -> Banner:
        """The banner ``name`` ("full" is the shipped one) in a language."""
        ...


class Sealer(Protocol):
    """Signs what we send."""

    def seal(self, octets: bytes, at: datetime) -> bytes:
        """Header fields to put in front of a message; b"" when its author's domain is none we sign for."""
        ...


@dataclass(slots=True)
class Rulebook:
    """What the configuration says now. Never changed in place: a reload makes a new one.

    Attributes:
        words: Language -> small words the copy needs (``unverified``).
        sealer: None without keys.
        asks_for_proof: A rule asks whether the sender is proven.
        passes_on: A rule names people who may get the mail as it came (DESIGN 3, last point).
    """

    desk: Desk
    rules: tuple[Rule, ...]
    teams: Mapping[str, tuple[str, ...]]
    banners: Banners
    prover: SenderProver
    courier: Courier
    domains: Domains
    directory: OwnerDirectory
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    sealer: Sealer | None = None
    asks_for_proof: bool = field(init=False)
    passes_on: bool = field(init=False)
    _addresses: dict[str, SupportAddress] = field(init=False)
    _members: Membership = field(init=False)

    def __post_init__(self) -> None:
        self._addresses = {a.name: a for a in self.desk.addresses}
        self._members = Membership(self.desk)
        self.asks_for_proof = names_condition(self.rules, "proven")
        actions = [rule.then for rule in self.rules]
        self.passes_on = any(
            then.rewrite_recipient or then.also_to or (then.route and (then.route.addresses or then.route.team))
            for then in actions
        )

    def address(self, name: str) -> SupportAddress:
        """A support address by its name; the first one when it has been renamed since."""
        return self._addresses.get(name) or self.desk.addresses[0]

    def members(self, owners: frozenset[str]) -> Membership:
        """Who is who, with the current owners; made anew only when they changed."""
        if self._members.owners is not owners and self._members.owners != owners:
            self._members = Membership(self.desk, owners)
        return self._members

    def word(self, language: str, name: str) -> str:
        """A small word of a language, English when that language has none."""
        return self.words.get(language, {}).get(name) or self.words.get("en", {}).get(name, name)


@dataclass(slots=True)
class Office:
    """The parts that stay for a worker's life.

    Attributes:
        rulebook: Returns the current one.
        holder: This worker's name on leases; ``instance`` is the whole installation's.
        now: Aware, UTC. new_id: a fresh queue id.
        fraction: A random number in [0, 1) for jitter.
        meter: Only while somebody measures.
        wake_desk: Called when work for the outside desk was committed.
    """

    store: Store
    rulebook: Callable[[], Rulebook]
    keys: tuple[SigningKey, ...]
    instance: str
    holder: str
    now: Callable[[], datetime]
    new_id: Callable[[], str]
    fraction: Callable[[], float]
    lease: Callable[[], Lease]
    meter: Meter | None = None
    wake_desk: Callable[[], None] = lambda: None
