"""Warnings: what is allowed and probably not meant."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from pydantic import BaseModel

from supportrelay.config.certificate import valid_until
from supportrelay.config.hubspot import HubSpotAccountConfig, HubSpotTicketsConfig
from supportrelay.config.models import Config
from supportrelay.config.place import is_for_everybody
from supportrelay.config.problem import KeyPath, print_key_path
from supportrelay.config.section import is_later
from supportrelay.config.versions import old_python
from supportrelay.core.envelope import Role

__all__ = ["warnings"]

_WIDEST = {4: 24, 6: 64}
_WIDEST_GATEWAYS = {4: 8, 6: 20}  # large mail services send from many networks, nobody from half of the internet
"""Shortest prefix of a trusted network that is not warned about, by IP version."""
_WARN_BEFORE = timedelta(days=14)

_SUPPORTED_MONTHS = 18  # of each version of HubSpot's paths, from the month in its name
_WARN_OF_VERSION_BEFORE = timedelta(days=90)

_Advice = Iterator[tuple[KeyPath, str]]


def warnings(config: Config, now: datetime | None = None) -> list[str]:
    """Return a line for each thing that works and is probably not what was meant; ``now`` (aware) is for tests."""
    lines = [
        f"{config.where(*path)}: {print_key_path(path)}: {text}"
        for advice in (
            _networks(config),
            _addresses(config),
            _outbound(config),
            _names(config),
            _dkim(config),
            _later(config),
        )
        for path, text in advice
    ]
    instant = now or datetime.now(UTC)
    lines += [
        f"{config.where(*path)}: {print_key_path(path)}: {text}"
        for advice in (_certificates(config, instant), _crm(config, instant))
        for path, text in advice
    ]
    python = old_python()
    return [*lines, python] if python else lines


def _networks(config: Config) -> _Advice:
    for i, network in enumerate(config.trusted_networks):
        widest = _WIDEST[network.version]
        if network.prefixlen < widest and not network.is_loopback:
            yield (
                ("trusted_networks", i),
                f"{network} is wider than /{widest}: every machine in it is believed to be staff and can close tickets",
            )
    for i, gateway in enumerate(config.gateways):
        for k, network in enumerate(gateway.networks):
            if network.prefixlen < _WIDEST_GATEWAYS[network.version]:
                yield (
                    ("gateways", i, "networks", k),
                    f"{network} is nearly everybody, and everybody in it may say whose mail is proven",
                )
    for i, listener in enumerate(config.listen):
        for k, network in enumerate(listener.proxy_from):
            widest = _WIDEST[network.version]
            if network.prefixlen < widest and not network.is_loopback:
                text = (
                    f"{network} is wider than /{widest}: every machine in it may say that it is one of trusted_networks"
                )
                yield ("listen", i, "proxy_from", k), text
        if listener.role is Role.SUBMISSION and not config.trusted_networks and listener.tls is None:
            yield (
                ("listen", i, "role"),
                "nobody can be proven here: trusted_networks is empty, and without tls nobody can log in",
            )


def _addresses(config: Config) -> _Advice:
    for i, one in enumerate(config.addresses):
        if one.reverse_path == "sender":
            text = f"failed copies come back to {one.sender.address}: it must deliver to this relay"
            if one.bounce_address:
                text += "; bounce_address is not used"
            yield ("addresses", i, "reverse_path"), text
        elif one.bounce_address:
            domain = one.bounce_address.rpartition("@")[2]
            if domain != one.address.rpartition("@")[2]:
                yield (
                    ("addresses", i, "bounce_address"),
                    f"mail to {domain} must reach this relay (its MX); 'supportrelay verify' proves it",
                )


def _outbound(config: Config) -> _Advice:
    for i, one in enumerate(config.outbound):
        path: KeyPath = ("outbound",) if config.has_one_outbound else ("outbound", i)
        if not one.tls_verify:
            yield (*path, "tls_verify"), "the smarthost's certificate is not checked: anybody on the way can read along"
        if one.auth and config.is_in_plain_sight(*path, "auth", "password"):
            yield (
                (*path, "auth", "password"),
                "this file can be read by every user of the machine; use password_file or chmod o-r",
            )


def _names(config: Config) -> _Advice:
    if "." not in config.hostname:
        yield (
            ("hostname",),
            f"{config.hostname} is not a full name: other servers distrust it in EHLO; set hostname",
        )


def _dkim(config: Config) -> _Advice:
    domains = {one.domain for one in config.dkim}
    for i, address in enumerate(config.addresses):
        domain = address.sender.address.rpartition("@")[2]
        if domains and domain not in domains:
            yield ("addresses", i, "sender", "address"), f"dkim has no key for {domain}: its copies are not signed"
    for i, one in enumerate(config.dkim):
        path = config.dkim_path(i)
        if config.is_in_plain_sight(*path, "private_key"):
            text = "this file can be read by every user of the machine; use private_key_file or chmod o-r"
            yield (*path, "private_key"), text
        if one.private_key_file and is_for_everybody(one.private_key_file):
            text = f"{one.private_key_file} can be read by every user of the machine; chmod 600"
            yield (*path, "private_key_file"), text


def _later(config: Config) -> _Advice:
    for path, why in _set_for_later(config, ()):
        yield path, f"accepted, but without effect in this version: {why}"


def _set_for_later(section: BaseModel, path: KeyPath) -> _Advice:
    """Fields in use that wait for a later version, and why."""
    for name in section.model_fields_set:
        why = is_later(type(section).model_fields[name])
        if why:
            yield (*path, name), why
            continue
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _set_for_later(value, (*path, name))
        elif isinstance(value, tuple):
            for i, one in enumerate(value):
                if isinstance(one, BaseModel):
                    yield from _set_for_later(one, (*path, name, i))


def _certificates(config: Config, now: datetime) -> _Advice:
    for i, listener in enumerate(config.listen):
        until = valid_until(listener.tls.cert) if listener.tls else None
        if listener.tls and until and until < now + _WARN_BEFORE:
            said = "expired on" if until < now else "expires on"
            yield ("listen", i, "tls", "cert"), f"{listener.tls.cert} {said} {until:%Y-%m-%d %H:%M} UTC"


def _crm(config: Config, now: datetime) -> _Advice:
    for name, role in (("directory", config.crm.directory), ("tickets", config.crm.tickets)):
        path: KeyPath = ("crm", name)
        if isinstance(role, HubSpotAccountConfig) and role.token:
            for key in ("token", "webhook_secret"):
                if config.is_in_plain_sight(*path, key):
                    text = f"this file can be read by every user of the machine; use {key}_file or chmod o-r"
                    yield (*path, key), text
            yield from _api_version(role.api_version, (*path, "api_version"), now)
    tickets, url = config.crm.tickets, config.web.public_url or ""
    if isinstance(tickets, HubSpotTicketsConfig) and tickets.webhook_secret and not url.startswith("https://"):
        yield ("web", "public_url"), "HubSpot calls webhooks by https only"


def _api_version(version: str, path: KeyPath, now: datetime) -> _Advice:
    if version == "legacy":
        yield path, "the paths of v4 end on 30 March 2027, those of v3 in September 2027; use a dated version"
        return
    year, month = (int(part) for part in version.split("-"))
    months = year * 12 + month - 1 + _SUPPORTED_MONTHS
    end = datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)
    if end < now + _WARN_OF_VERSION_BEFORE:
        said = "was no longer supported from" if end < now else "is supported until"
        yield path, f"version {version} {said} {end:%Y-%m}; take a newer one"
