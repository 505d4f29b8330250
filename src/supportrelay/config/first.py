"""The first configuration: six questions, and the file that their answers make (``supportrelay init``)."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import get_args

from supportrelay.config.address import Language
from supportrelay.config.place import DEFAULT_URL
from supportrelay.config.reference import print_yaml
from supportrelay.config.scalars import read_address, read_domain, read_host
from supportrelay.core.errors import InputError

__all__ = ["QUESTIONS", "Answers", "Question", "first_configuration", "refuse_misfits"]

_PORTS = {"465": "implicit", "25": "none"}


@dataclass(frozen=True, slots=True)
class Answers:
    """What `first_configuration` needs.

    Attributes:
        support_address: What customers write to.
        internal_domains: The company's own mail domains.
        allmember: Who gets mail of customers that nobody owns.
        admin: Who gets alerts.
        smarthost: ``host`` or ``host:port``; ``outbox`` sends nothing.
        language: ja, en, fr or pl.
    """

    support_address: str
    internal_domains: tuple[str, ...]
    allmember: tuple[str, ...]
    admin: str
    smarthost: str
    language: str


@dataclass(frozen=True, slots=True)
class Question:
    """One question.

    Attributes:
        key: Field of `Answers`; ``init.KEY`` of the catalogues holds the question in words.
        text: The question in English.
        suggest: From the answers so far, by key: what Enter means; "" when an answer is needed.
        check: From what was typed to the answer; raises `InputError` in plain words.
    """

    key: str
    text: str
    suggest: Callable[[dict[str, str | tuple[str, ...]]], str]
    check: Callable[[str], str | tuple[str, ...]]


def _address(text: str) -> str:
    try:
        return read_address(text.strip())
    except ValueError as exc:
        raise InputError(f"{text.strip()}: {exc}") from None


def _several(text: str, read: Callable[[str], str]) -> tuple[str, ...]:
    words = text.replace(",", " ").replace("、", " ").split()
    if not words:
        raise InputError("at least one is needed")
    found = []
    for word in words:
        try:
            found.append(read(word))
        except ValueError as exc:
            raise InputError(f"{word}: {exc}") from None
    return tuple(dict.fromkeys(found))


def _smarthost(text: str) -> str:
    host, port = _split_port(text.strip())
    if text.strip().lower() == "outbox":
        return "outbox"
    try:
        read_host(host)
    except ValueError as exc:
        raise InputError(f"{host}: {exc}") from None
    if port and not (port.isascii() and port.isdigit() and 0 < int(port) <= 65535):  # noqa: PLR2004  ports of TCP
        raise InputError(f"{port}: not a port")
    return text.strip()


def _split_port(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        return host, rest.removeprefix(":")
    if text.count(":") > 1:
        return text, ""
    host, _, port = text.partition(":")
    return host, port


def _language(text: str) -> str:
    if text.strip().lower() not in get_args(Language):
        raise InputError(f"{text.strip()}: one of {', '.join(get_args(Language))}")
    return text.strip().lower()


def _domain_of(answers: dict[str, str | tuple[str, ...]]) -> str:
    return str(answers.get("support_address", "")).rpartition("@")[2]


QUESTIONS: tuple[Question, ...] = (
    Question("support_address", "Which address do customers write to?", lambda _: "", _address),
    Question(
        "internal_domains",
        "What are your own mail domains (several with commas)?",
        _domain_of,
        lambda text: _several(text, read_domain),
    ),
    Question(
        "allmember",
        "Who gets mail of customers that nobody owns (people or a list, several with commas)?",
        lambda _: "",
        lambda text: _several(text, read_address),
    ),
    Question("admin", "Who gets alerts and postmaster mail? Not an address above.", lambda _: "", _address),
    Question(
        "smarthost",
        "Which server sends your mail (host or host:port; 'outbox' sends nothing)?",
        lambda _: "outbox",
        _smarthost,
    ),
    Question("language", "Which language (ja, en, fr, pl)?", lambda _: "en", _language),
)


def first_configuration(answers: Answers, *, storage_url: str = DEFAULT_URL) -> str:
    """Return the text of a first ``supportrelay.yaml``; it loads.

    Args:
        answers: Each as its question's ``check`` gave it back.
        storage_url: Where the store is made.

    Raises:
        InputError: The answers do not fit together; the text says which.
    """
    refuse_misfits(asdict(answers))
    local, _, domain = answers.support_address.rpartition("@")
    return f"""\
# supportrelay, first configuration. Every key, its default and its reason: supportrelay.example.yaml.
# After a change: 'supportrelay check', then reload the service (SIGHUP).

addresses:
  - name: {print_yaml(local)}
    address: {print_yaml(answers.support_address)}
    # From of the copies that owners get. Make this address deliver to the relay, as the support address does.
    sender: {{name: '{{author}} via Support', address: {print_yaml(f"{local}-relay@{domain}")}}}
    # Who gets mail of customers that nobody owns.
    allmember: {print_yaml(answers.allmember)}

# Who writes from here is staff, when proven.
internal_domains: {print_yaml(answers.internal_domains)}

# Alerts, postmaster, the digest of held mail.
admins: {print_yaml((answers.admin,))}

language: {answers.language}

listen:
  - {{host: 0.0.0.0, port: 25, role: mx}}

# Networks through which only your own people can send, e.g. your mail server's address.
# Without any (and without a gateway) no mail counts as sent by staff.
trusted_networks: []

{_outbound(answers.smarthost)}

storage: {{url: {print_yaml(storage_url)}}}
"""


def refuse_misfits(answers: Mapping[str, str | tuple[str, ...]]) -> None:
    """Compare the answers so far, by key.

    Raises:
        InputError: Two do not fit together; the text says which.
    """
    support = str(answers.get("support_address", ""))
    local, _, domain = support.rpartition("@")
    sender = f"{local}-relay@{domain}"
    for name in ("allmember", "admin"):
        given = answers.get(name, ())
        people = (given,) if isinstance(given, str) else given
        if support in people:
            raise InputError(f"{name}: {support} is the support address; mail would go round in a circle")
        if sender in people:
            raise InputError(f"{name}: {sender} is the address that copies are sent from; choose another")


def _outbound(smarthost: str) -> str:
    if smarthost.lower() == "outbox":
        said = "# Nothing is sent: outgoing mail is kept beside the store. Put your smarthost here."
        return f"{said}\noutbound: {{outbox: true}}"
    host, port = _split_port(smarthost)
    tls = _PORTS.get(port, "starttls")
    lines = ["# The server that sends our mail.", "outbound:", f"  host: {print_yaml(host)}"]
    lines += [f"  port: {port}"] if port else []
    return "\n".join([*lines, f"  tls: {tls}", "  #auth: {kind: password, user: relay, password_file: smtp-password}"])
