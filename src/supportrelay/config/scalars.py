"""The kinds of values a configuration holds, each read from text and refused in plain words.

A text never repeats the value: the value is put before it where it may be shown (see `wording`).
"""

import ipaddress
import os
import re
import string
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from supportrelay.core.errors import AddressError
from supportrelay.core.mailbox import comparing_form
from supportrelay.core.ticket import StageRule, parse_stage

__all__ = [
    "Address",
    "AddressGlob",
    "BounceTemplate",
    "Domain",
    "DomainRule",
    "Duration",
    "FilePath",
    "HeaderName",
    "Host",
    "Network",
    "Port",
    "SenderName",
    "Size",
    "StageWord",
    "Text",
    "TimeZone",
    "WebUrl",
    "print_duration",
    "print_size",
    "read_address",
    "read_domain",
    "read_duration",
    "read_host",
]

TOKEN_LENGTH = 32
"""Room kept for a token: ours has 28 characters today."""
_LONGEST_LOCAL_PART = 64  # octets, RFC 5321 §4.5.3.1.1
_LONGEST_DURATION = timedelta(days=3660)
_DURATION = re.compile(r"(?:[0-9]{1,9}[a-z]{1,2})+")
_DURATION_PART = re.compile(r"([0-9]+)([a-z]+)")
_UNITS = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
_SIZE = re.compile(r"([0-9]{1,15})\s*([A-Za-z]*)")
_SIZES = {"": 1, "b": 1} | {
    unit.lower(): base**power
    for power, letter in enumerate("kMG", start=1)
    for unit, base in ((f"{letter}", 1024), (f"{letter}B", 1000), (f"{letter}iB", 1024))
}
_HOST = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)(\.(?!-)[A-Za-z0-9_-]{1,63}(?<!-))*\.?")
_HEADER_NAME = re.compile(r"[!-9;-~]{1,76}")  # RFC 5322 §2.2


def read_address(text: str) -> str:
    """An address in comparing form; ValueError in plain words."""
    try:
        return comparing_form(text)
    except AddressError:
        raise ValueError("not a mail address; write it as name@domain") from None


def _address_glob(text: str) -> str:
    if text.count("@") != 1 or any(c.isspace() for c in text):
        raise ValueError("not an address or a pattern like *@forms.example")
    return text.lower()


def read_domain(text: str) -> str:
    """A domain as A-label in lower case; ValueError in plain words."""
    try:
        found = comparing_form(f"x@{text.rstrip('.')}").rpartition("@")[2]
    except AddressError:
        found = ""
    if not found or found.startswith("["):
        raise ValueError("not a domain; write it as company.example")
    return found


def _domain_rule(text: str) -> str:
    if text.startswith("*."):
        return "*." + read_domain(text[2:])
    if "*" in text:
        raise ValueError("the only pattern here is *.domain, for the subdomains of a domain")
    return read_domain(text)


def read_host(text: str) -> str:
    """A host name or IP address; ValueError in plain words."""
    bare = text.removeprefix("[").removesuffix("]")
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        pass
    if not _HOST.fullmatch(text) or re.fullmatch(r"[0-9.]+", text):
        raise ValueError("not a host name or IP address (a port has a key of its own)")
    return text.rstrip(".").lower()


def read_duration(value: Any) -> timedelta:
    """A length of time with its unit; ValueError in plain words."""
    if isinstance(value, timedelta):
        return value
    text = str(value).replace(" ", "")
    if isinstance(value, bool) or not _DURATION.fullmatch(text):
        raise ValueError("not a duration; write it with its unit: 30s, 5m, 1h, 30d or 2w")
    total = timedelta()
    for number, unit in _DURATION_PART.findall(text):
        if unit not in _UNITS:
            raise ValueError(f"'{unit}' is no unit of time; the units are ms, s, m (minutes), h, d and w")
        try:
            total += int(number) * _UNITS[unit]
        except OverflowError:
            total = timedelta.max
            break
    if total > _LONGEST_DURATION:
        raise ValueError("longer than ten years")
    return total


def _size(value: Any) -> Any:
    match = _SIZE.fullmatch(str(value).strip())
    if isinstance(value, bool) or not match or match[2].lower() not in _SIZES:
        raise ValueError("not a size; write it as 50MiB, 50MB or a number of octets")
    return int(match[1]) * _SIZES[match[2].lower()]


def _network(value: Any) -> Any:
    if isinstance(value, (ipaddress.IPv4Network, ipaddress.IPv6Network)):
        return value
    text = str(value)
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError("not a network; write it as 192.0.2.0/24, 2001:db8::/64 or one address") from None
    raise ValueError(f"an address with the size of a network; the network is {meant}")


def _stage(value: Any) -> Any:
    if isinstance(value, StageRule):
        return value
    if str(value).strip().lower() == "keep":
        return StageRule.KEEP
    try:
        return StageRule(parse_stage(str(value)))
    except ValueError:
        raise ValueError("must be one of NEW, WAITING (対応中), CLOSED and keep") from None


def _text(text: str) -> str:
    if not text.strip() or any(ord(c) < ord(" ") or c == "\x7f" for c in text):
        raise ValueError("must be one line of text")
    return text.strip()


def _header_name(text: str) -> str:
    if not _HEADER_NAME.fullmatch(text):
        raise ValueError("not the name of a header field")
    return text


def _sender_name(text: str) -> str:
    text = _text(text)
    try:
        places = {name for _, name, spec, turn in string.Formatter().parse(text) if name is not None or spec or turn}
        plain = all(not spec and not turn for _, _, spec, turn in string.Formatter().parse(text))
    except ValueError:
        places, plain = {None}, False
    if not plain or not places <= {"author", "company"}:
        raise ValueError("may hold {author} and {company} and no other braces")
    if "@" in text:
        raise ValueError("must not hold an @: mail programs would show it as an address that it is not")
    return text


def _bounce_template(text: str) -> str:
    local, _, domain = text.rpartition("@")
    if text.count("{token}") != 1 or "{token}" not in local:
        raise ValueError("must hold {token} exactly once, before the @")
    if len(local) - len("{token}") + TOKEN_LENGTH > _LONGEST_LOCAL_PART:
        room = _LONGEST_LOCAL_PART - TOKEN_LENGTH
        raise ValueError(f"too long: beside {{token}} at most {room} characters may stand before the @")
    head, _, tail = local.partition("{token}")
    probe = "t" * TOKEN_LENGTH
    try:
        whole = comparing_form(f"{head}{probe}{tail}@{domain}")
    except AddressError:
        raise ValueError("not a mail address; write it like support+b-{token}@company.example") from None
    return f"{head.lower()}{{token}}{tail.lower()}@{whole.rpartition('@')[2]}"


def _web_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in {"http", "https"} or any(c.isspace() for c in text):
        raise ValueError("not an address of the web; it begins with http:// or https://")
    return text


def _file_path(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, bool) or not isinstance(value, (str, Path)) or not str(value):
        raise ValueError("must be the name of a file or folder")
    folder = (info.context or {}).get("folder")
    try:
        path = Path(value).expanduser()
    except RuntimeError:
        raise ValueError("there is no such home folder") from None
    return Path(os.path.normpath(folder / path)) if folder else path


def _time_zone(text: str) -> str:
    try:
        return ZoneInfo(text).key
    except (ValueError, OSError, ZoneInfoNotFoundError):
        raise ValueError("no such time zone; write it as Asia/Tokyo or UTC") from None


def print_duration(value: timedelta) -> str:
    """``5m``, ``1h``, ``30d``: the form in which durations are written."""
    for unit in ("d", "h", "m", "s"):
        if value and not value % _UNITS[unit]:
            return f"{value // _UNITS[unit]}{unit}"
    return f"{value // _UNITS['ms']}ms"


def print_size(octets: int) -> str:
    """``50MiB``: the form in which sizes are written."""
    for unit in ("GiB", "MiB", "KiB"):
        if octets and not octets % _SIZES[unit.lower()]:
            return f"{octets // _SIZES[unit.lower()]}{unit}"
    return str(octets)


Text = Annotated[str, AfterValidator(_text)]
Address = Annotated[str, AfterValidator(read_address)]
"""In comparing form."""
AddressGlob = Annotated[str, AfterValidator(_address_glob)]
Domain = Annotated[str, AfterValidator(read_domain)]
DomainRule = Annotated[str, AfterValidator(_domain_rule)]
Host = Annotated[str, AfterValidator(read_host)]
Port = Annotated[int, Field(ge=1, le=65535)]
Duration = Annotated[timedelta, BeforeValidator(read_duration)]
Size = Annotated[int, BeforeValidator(_size), Field(ge=1)]
Network = Annotated[ipaddress.IPv4Network | ipaddress.IPv6Network, BeforeValidator(_network)]
StageWord = Annotated[StageRule, BeforeValidator(_stage)]
HeaderName = Annotated[str, AfterValidator(_header_name)]
SenderName = Annotated[str, AfterValidator(_sender_name)]
BounceTemplate = Annotated[str, AfterValidator(_bounce_template)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
WebUrl = Annotated[str, AfterValidator(_web_url)]
FilePath = Annotated[Path, BeforeValidator(_file_path)]
"""Absolute, or relative to the folder of the configuration when that is known."""
