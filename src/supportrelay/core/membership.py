"""Who is who: ours, staff or external (DESIGN 2, 'Words')."""

from dataclasses import field

from supportrelay.core.mailbox import Mailbox
from supportrelay.core.settings import Desk, SupportAddress
from supportrelay.core.value import value_class

__all__ = ["Membership"]

_MAX_REMEMBERED = 10_000


@value_class
class Membership:
    """The words of the desk as look-ups; made once for a configuration and a set of owners.

    Attributes:
        owners: Current CRM owners, comparing form.
    """

    desk: Desk
    owners: frozenset[str] = frozenset()
    _support: dict[str, SupportAddress] = field(init=False, repr=False)
    _senders: dict[str, SupportAddress] = field(init=False, repr=False)
    _allmember: frozenset[str] = field(init=False, repr=False)
    _bounce: tuple[tuple[str, str, SupportAddress], ...] = field(init=False, repr=False)
    # A mail asks nine times about its few addresses, and the next mails about the same ones.
    _ours: dict[str, bool] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        support = {key: a for a in self.desk.addresses for key in (a.address, *a.aliases)}
        bounce = []
        for address in self.desk.addresses:
            head, _, tail = address.bounce_address.lower().partition("{token}")
            bounce.append((head, tail, address))
        object.__setattr__(self, "_support", support)
        object.__setattr__(self, "_senders", {a.sender_address: a for a in self.desk.addresses})
        object.__setattr__(self, "_allmember", frozenset(m for a in self.desk.addresses for m in a.allmember))
        object.__setattr__(self, "_bounce", tuple(bounce))
        object.__setattr__(self, "_ours", {})

    def _without_detail(self, key: str) -> str:
        local, _, domain = key.rpartition("@")
        return f"{local.partition(self.desk.recipient_delimiter)[0]}@{domain}"

    def support_address(self, key: str) -> SupportAddress | None:
        """The support address that this is (alias and plus-addresses included), None for any other."""
        return self._support.get(key) or self._support.get(self._without_detail(key))

    def sender_of(self, key: str) -> SupportAddress | None:
        """The support address whose ``sender`` this is."""
        return self._senders.get(key) or self._senders.get(self._without_detail(key))

    def bounce_token(self, key: str) -> tuple[SupportAddress, str] | None:
        """``(address, token)`` when this has the form of one of our bounce addresses."""
        for head, tail, address in self._bounce:
            if key.startswith(head) and key.endswith(tail) and len(key) > len(head) + len(tail):
                token = key[len(head) : len(key) - len(tail)]
                if token.isalnum():
                    return address, token
        return None

    def detail(self, key: str) -> str:
        """What stands behind the delimiter of a support plus-address, "" without."""
        local = key.rpartition("@")[0]
        return local.partition(self.desk.recipient_delimiter)[2]

    def is_ours(self, key: str) -> bool:
        """A support address, alias, plus-address, ``sender`` or bounce address."""
        found = self._ours.get(key)
        if found is None:
            if len(self._ours) >= _MAX_REMEMBERED:  # strangers write what they like
                self._ours.clear()
            found = bool(self.support_address(key) or self.sender_of(key) or self.bounce_token(key))
            self._ours[key] = found
        return found

    def is_internal_domain(self, domain: str) -> bool:
        """``internal_domains``: exactly, or ``*.x`` for subdomains of x."""
        return any(
            domain == rule if not rule.startswith("*.") else domain.endswith(rule[1:])
            for rule in self.desk.internal_domains
        )

    def is_staff(self, mailbox: Mailbox) -> bool:
        """Internal domain, listed, a current owner or an Allmember; never one of ours."""
        key = mailbox.key
        return not self.is_ours(key) and self._is_of_staff(key, mailbox.domain)

    def _is_of_staff(self, key: str, domain: str) -> bool:
        return self.is_internal_domain(domain) or key in self.desk.staff or key in self.owners or key in self._allmember

    def is_external(self, mailbox: Mailbox) -> bool:
        """Neither staff nor ours."""
        key = mailbox.key
        return not self.is_ours(key) and not self._is_of_staff(key, mailbox.domain)

    def is_allmember(self, key: str) -> bool:
        """An Allmember address of any support address."""
        return key in self._allmember

    def is_known_to_rules(self, key: str) -> bool:
        """An address, or ``*@domain``, that a rule's ``recipient`` names."""
        domain = key.rpartition("@")[2]
        return key in self.desk.rule_recipients or f"*@{domain}" in self.desk.rule_recipients
