"""Intake: whom we listen to and what we take mail for (DESIGN 6). The mx relays for nobody."""

from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from supportrelay.core import reply
from supportrelay.core.account import Account, Accounts, author_refusal, sender_refusal
from supportrelay.core.envelope import Peer, Role
from supportrelay.core.membership import Membership
from supportrelay.core.reply import Reply
from supportrelay.core.settings import Desk
from supportrelay.core.sight import sort_forward_paths

__all__ = ["Intake"]

_Network = IPv4Network | IPv6Network
_MAX_REMEMBERED = 10_000


class Intake:
    """The door's rules; made anew at a reload.

    Args:
        gateways: ``(network, authserv_id)`` pairs.
        accounts: Who may log in; None: nobody.
        cannot_store: Why a message of so many octets (0: not declared) cannot be stored now; None: it can.
    """

    def __init__(
        self,
        desk: Desk,
        trusted: Sequence[_Network],
        gateways: Sequence[tuple[_Network, str]],
        accounts: Accounts | None = None,
        cannot_store: Callable[[int], Reply | None] = lambda _size: None,
    ) -> None:
        self._desk = desk
        self._members = Membership(desk)
        self._trusted = tuple(trusted)
        self._gateways = tuple(gateways)
        self._accounts = accounts
        self._cannot_store = cannot_store
        self._known: dict[str, tuple[bool, str]] = {}

    def peer(self, ip: str, helo: str, role: Role, tls: str) -> Peer:
        """Who speaks to us, by address."""
        is_trusted, gateway = self._standing(ip)
        # Whoever speaks LMTP is a mail server with everybody's mail: no address of it makes a sender one of us.
        is_trusted = is_trusted and role is not Role.LMTP
        return Peer(ip=ip, helo=helo, role=role, is_trusted=is_trusted, gateway=gateway, tls=tls)

    def is_familiar(self, ip: str) -> bool:
        """A trusted network or a gateway."""
        is_trusted, gateway = self._standing(ip)
        return is_trusted or bool(gateway)

    def _standing(self, ip: str) -> tuple[bool, str]:
        found = self._known.get(ip)
        if found is None:
            found = self._look_up(ip)
            if len(self._known) >= _MAX_REMEMBERED:
                self._known.clear()
            self._known[ip] = found
        return found

    def _look_up(self, ip: str) -> tuple[bool, str]:
        try:
            address = ip_address(ip)
        except ValueError:
            return False, ""
        mapped = getattr(address, "ipv4_mapped", None)
        address = mapped or address
        is_trusted = any(address in network for network in self._trusted)
        gateway = next((name for network, name in self._gateways if address in network), "")
        return is_trusted, gateway

    def check_sender(self, reverse_path: str, peer: Peer, size: int) -> Reply | None:
        """Submission is for proven senders only, who write as themselves; the mx hears everybody."""
        if peer.role == Role.SUBMISSION and not (peer.is_trusted or peer.user):
            return reply.SENDER_REFUSED
        if size > self._desk.max_size_octets:
            return reply.TOO_LARGE
        if peer.user:
            refusal = sender_refusal(self._account(peer), reverse_path, self._members)
            if refusal is not None:
                return refusal
        return self._cannot_store(size)

    def author_check(self, peer: Peer) -> Callable[[bytes], Reply | None]:
        """What a mail of somebody who has logged in is asked; None accepts. His account is read now."""
        account = self._account(peer)
        return lambda octets: author_refusal(account, octets, self._members)

    def _account(self, peer: Peer) -> Account | None:
        return self._accounts.account(peer.user) if self._accounts else None

    def check_recipient(self, forward_path: str, peer: Peer) -> Reply | None:
        """The mx takes what is ours, what rules name, postmaster and abuse; submission takes any recipient."""
        if peer.role == Role.SUBMISSION and "@" in forward_path:
            return None
        paths = sort_forward_paths((forward_path,), self._members)
        return reply.NOT_OURS if paths.elsewhere else None
