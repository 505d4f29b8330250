"""What fits together and what does not: checks that need more than one value of the configuration."""

import ipaddress
import socket
import ssl
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path

from supportrelay.config.crm_checks import find_crm_conflicts
from supportrelay.config.models import Config
from supportrelay.config.network import AuthConfig, ListenConfig
from supportrelay.config.problem import KeyPath, Problem, print_key_path
from supportrelay.config.rule_checks import find_rule_conflicts
from supportrelay.core.envelope import Role
from supportrelay.core.membership import Membership

__all__ = ["find_conflicts", "owner_conflicts"]

_IPV6 = 6
_SMTP_PORT = 25
_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104  compared, not listened on


def find_conflicts(config: Config) -> list[Problem]:
    """Every conflict between values that are each right by themselves, in no order."""
    checks = (
        _names_and_addresses,
        _senders,
        _people_are_not_ours,
        _networks,
        _listeners,
        _certificates,
        _dkim,
        _outbound,
        _times,
        find_crm_conflicts,
        find_rule_conflicts,
    )
    return [problem for check in checks for problem in check(config)]


def owner_conflicts(config: Config, owners: Iterable[str]) -> list[str]:
    """Return a line for each sender that is also a deal owner's address.

    Args:
        config: A loaded configuration; it does not know the owners.
        owners: Current owners in comparing form.
    """
    known = frozenset(owners)
    return [
        f"{config.where('addresses', i, 'sender', 'address')}: addresses[{i}].sender.address: '{a.sender.address}': "
        "belongs to a deal owner; copies need an address of their own"
        for i, a in enumerate(config.addresses)
        if a.sender.address in known
    ]


def _names_and_addresses(config: Config) -> Iterator[Problem]:
    names: dict[str, int] = {}
    claimed: dict[str, KeyPath] = {}
    for i, one in enumerate(config.addresses):
        if one.name in names:
            yield Problem(
                ("addresses", i, "name"), f"'{one.name}': this name stands at addresses[{names[one.name]}] too"
            )
        names.setdefault(one.name, i)
        places: list[tuple[str, KeyPath]] = [(one.address, ("addresses", i, "address"))]
        places += [(alias, ("addresses", i, "aliases", j)) for j, alias in enumerate(one.aliases)]
        for address, path in places:
            if address in claimed:
                other = print_key_path(claimed[address])
                yield Problem(path, f"'{address}': stands at {other} too; a mail to it could belong to only one")
            claimed.setdefault(address, path)
            base = _without_detail(address, config.recipient_delimiter)
            if base != address and base in claimed and claimed[base][1] != i:
                other = print_key_path(claimed[base])
                yield Problem(path, f"'{address}': is a plus-address of {other}; a mail to it could belong to only one")
    bounces: dict[str, int] = {}
    for i, one in enumerate(config.addresses):
        template = one.bounce_template(config.recipient_delimiter)
        if template in bounces and one.bounce_address:
            text = f"'{template}': stands at addresses[{bounces[template]}] too; each address needs its own"
            yield Problem(("addresses", i, "bounce_address"), text)
        bounces.setdefault(template, i)


def _without_detail(address: str, delimiter: str) -> str:
    local, _, domain = address.rpartition("@")
    return f"{local.partition(delimiter)[0] or local}@{domain}"


def _senders(config: Config) -> Iterator[Problem]:
    support = {a for one in config.addresses for a in (one.address, *one.aliases)}
    lists: list[tuple[str, Iterable[str]]] = [
        ("a support address", support),
        ("an Allmember", {m for one in config.addresses for m in one.allmember}),
        ("listed in staff", config.staff),
        ("listed in admins", config.admins),
        ("listed in teams", {m for members in config.teams.values() for m in members}),
    ]
    for i, one in enumerate(config.addresses):
        sender = one.sender.address
        base = _without_detail(sender, config.recipient_delimiter)
        for what, members in lists:
            hit = sender in members or (what == "a support address" and base in support)
            if hit:
                text = f"'{sender}': is {what}; copies need an address of their own, or answers come back as loops"
                yield Problem(("addresses", i, "sender", "address"), text)


def _people_are_not_ours(config: Config) -> Iterator[Problem]:
    """People who get mail must not be addresses of the relay: it would write to itself."""
    membership = Membership(config.desk())
    people: list[tuple[str, KeyPath]] = [(a, ("admins", i)) for i, a in enumerate(config.admins)]
    people += [
        (m, ("addresses", i, "allmember", j)) for i, a in enumerate(config.addresses) for j, m in enumerate(a.allmember)
    ]
    people += [(s, ("staff", i)) for i, s in enumerate(config.staff)]
    people += [(m, ("teams", team, i)) for team, members in config.teams.items() for i, m in enumerate(members)]
    senders = {a.sender.address for a in config.addresses}
    for address, path in people:
        # A sender in a list of people is told at the sender already.
        if membership.is_ours(address) and (address not in senders or membership.support_address(address)):
            yield Problem(
                path, f"'{address}': is an address of the relay itself; mail to it would go round in a circle"
            )


def _networks(config: Config) -> Iterator[Problem]:
    for i, gateway in enumerate(config.gateways):
        for j, network in enumerate(gateway.networks):
            for k, trusted in enumerate(config.trusted_networks):
                if network.version == trusted.version and network.overlaps(trusted):
                    text = (
                        f"'{network}': overlaps with trusted_networks[{k}] ({trusted}); a gateway passes on "
                        "everybody's mail, so its address proves nothing"
                    )
                    yield Problem(("gateways", i, "networks", j), text)
    for (i, first), (k, second) in combinations(enumerate(config.gateways), 2):
        for j, network in enumerate(second.networks):
            if any(network.version == other.version and network.overlaps(other) for other in first.networks):
                yield Problem(("gateways", k, "networks", j), f"'{network}': overlaps with gateways[{i}]")


def _listeners(config: Config) -> Iterator[Problem]:
    for i, one in enumerate(config.listen):
        yield from _listener(one, ("listen", i))
    with_path = [(i, one.path) for i, one in enumerate(config.listen) if one.path]
    for (i, path), (j, other) in combinations(with_path, 2):
        if path == other:
            yield Problem(("listen", j, "path"), f"'{other}': listen[{i}] has this path already")
    at_ports = [(i, one) for i, one in enumerate(config.listen) if not one.path]
    for (i, first), (j, second) in combinations(at_ports, 2):
        if first.port == second.port and _same_host(first.host, second.host):
            yield Problem(("listen", j, "port"), f"'{second.port}': listen[{i}] has this host and port already")
    for i, one in at_ports:
        if one.port == config.web.port and _same_host(one.host, config.web.host):
            if "port" in config.web.model_fields_set:
                yield Problem(("web", "port"), f"'{one.port}': listen[{i}] has this host and port already")
            else:
                yield Problem(("listen", i, "port"), f"'{one.port}': is the web port; set web.port to another")


def _listener(one: ListenConfig, at: KeyPath) -> Iterator[Problem]:
    if one.path and one.role is not Role.LMTP:
        yield Problem((*at, "path"), f"is for role lmtp; {one.role} listens on a host and a port")
    elif one.path and {"host", "port"} & one.model_fields_set:
        yield Problem((*at, "path"), "takes the place of host and port; take out the one or the others")
    elif one.path and (one.proxy_from or one.tls):
        yield Problem((*at, "path"), "a Unix socket has neither proxy_from nor tls")
    elif one.role is Role.LMTP and not one.path and one.port == _SMTP_PORT:
        yield Problem((*at, "port"), "lmtp needs a path or a port other than 25 (RFC 2033 §5)")


def _same_host(one: str, other: str) -> bool:
    if one == other or {one, other} in ({"localhost", "127.0.0.1"}, {"localhost", "::1"}):
        return True
    wildcard = one if one in _WILDCARDS else other
    if wildcard == "::":  # takes IPv4 too where the system says so
        return True
    return wildcard in _WILDCARDS and ":" not in (other if wildcard == one else one)


def _certificates(config: Config) -> Iterator[Problem]:
    for i, one in enumerate(config.listen):
        if one.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            yield from _pair(context, one.tls.cert, one.tls.key, ("listen", i, "tls"))
    for path, server in _smarthosts(config):
        outbound = config.outbound[server]
        if outbound.tls_ca:
            yield from _authorities(outbound.tls_ca, (*path, "tls_ca"))
        if outbound.auth and outbound.auth.cert and outbound.auth.kind == "client_certificate":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            yield from _pair(context, outbound.auth.cert, outbound.auth.key or outbound.auth.cert, (*path, "auth"))


def _pair(context: ssl.SSLContext, cert: Path, key: Path, path: KeyPath) -> Iterator[Problem]:
    missing = False
    for name, file in (("cert", cert), ("key", key)):
        why = _unreadable(file)
        if why:
            missing = True
            yield Problem((*path, name), f"{file}: {why}")
    if missing:
        return
    try:
        # Asking for a password on the terminal would hang a daemon: an empty one is given instead.
        context.load_cert_chain(cert, key, password=lambda: "")
    except ssl.SSLError as exc:
        reason = exc.reason or ""
        if reason == "KEY_VALUES_MISMATCH":
            yield Problem((*path, "key"), f"{key}: does not belong to the certificate {cert}")
        else:
            yield Problem((*path, "cert"), f"{cert} and {key}: no certificate and key in PEM without password")
    except (OSError, ValueError):
        yield Problem((*path, "cert"), f"{cert} and {key}: no certificate and key in PEM without password")


def _authorities(file: Path, path: KeyPath) -> Iterator[Problem]:
    why = _unreadable(file)
    if not why:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
        except OSError:  # ssl.SSLError is one
            why = "no certificates in PEM"
    if why:
        yield Problem(path, f"{file}: {why}")


def _unreadable(file: Path) -> str:
    try:
        with file.open("rb"):
            return ""
    except FileNotFoundError:
        return "there is no such file"
    except OSError as exc:
        return f"cannot be read ({exc.strerror})"


def _smarthosts(config: Config) -> Iterator[tuple[KeyPath, int]]:
    """Path and number of each; one that is no list is written without a number."""
    for i in range(len(config.outbound)):
        yield (("outbound",) if config.has_one_outbound else ("outbound", i)), i


def _outbound(config: Config) -> Iterator[Problem]:
    for path, i in _smarthosts(config):
        one = config.outbound[i]
        if one.outbox and one.host:
            yield Problem((*path, "outbox"), "an outbox keeps the mail here; take out host or outbox")
        elif one.outbox and len(config.outbound) > 1:
            yield Problem((*path, "outbox"), "an outbox cannot stand in a list of smarthosts")
        elif not one.outbox and not one.host:
            yield Problem((*path, "host"), "is required (or 'outbox: true', which sends nothing)")
        if one.host:
            yield from _loops(config, one.host, one.port, path)
        if one.auth:
            yield from _login(one.auth, (*path, "auth"))
            if one.tls == "none" and one.host and not _is_loopback(one.host):
                yield Problem((*path, "tls"), "'none': a login would go over the network in the clear")


def _loops(config: Config, host: str, port: int, path: KeyPath) -> Iterator[Problem]:
    """A smarthost that is ourselves: every mail would come back (RELIABILITY C09)."""
    for i, listener in enumerate(config.listen):
        if not listener.path and listener.port == port and _reaches(config, host, listener):
            yield Problem(
                (*path, "host"), f"'{host}': port {port} there is listen[{i}]; mail would go round in a circle"
            )
            return


def _reaches(config: Config, host: str, listener: ListenConfig) -> bool:
    if host in {listener.host, config.hostname} or host in _WILDCARDS:
        return True
    if not _is_loopback(host):
        return listener.host in _WILDCARDS and _is_own_address(host)
    return (
        listener.host in _WILDCARDS
        or (host == "localhost" and _is_loopback(listener.host))
        or (listener.host == "localhost")
    )


def _is_own_address(host: str) -> bool:
    """An address of this machine. A name is not looked up: a configuration is read without asking the network."""
    try:
        family = socket.AF_INET6 if ipaddress.ip_address(host).version == _IPV6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except (OSError, ValueError):
        return False
    return True


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _login(auth: AuthConfig, path: KeyPath) -> Iterator[Problem]:
    needed = {
        "password": ("user", "password"),
        "xoauth2": ("user", "token"),
        "client_certificate": ("cert", "key"),
    }[auth.kind]
    for key in needed:
        if getattr(auth, key) is None:
            also = f" (or {key}_file)" if key in {"password", "token"} else ""
            yield Problem((*path, key), f"is required{also} by kind {auth.kind}")
    given = {"password", "token", "cert", "key"} & auth.model_fields_set
    for key in sorted(given - set(needed)):
        yield Problem((*path, key), f"is not used by kind {auth.kind}")


def _dkim(config: Config) -> Iterator[Problem]:
    stood: dict[tuple[str, str], int] = {}
    for i, one in enumerate(config.dkim):
        path = config.dkim_path(i)
        if one.private_key is None:
            yield Problem((*path, "private_key_file"), "is required (or private_key)")
        before = stood.setdefault((one.domain, one.selector), i)
        if before != i:
            text = f"'{one.selector}': dkim[{before}] has this domain and selector; a record holds one key"
            yield Problem((*path, "selector"), text)


def _times(config: Config) -> Iterator[Problem]:
    if config.failover_after >= config.give_up_after:
        yield Problem(("failover_after",), "must be shorter than give_up_after")
