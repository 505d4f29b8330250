"""Where mail comes in and goes out: listeners, gateways, smarthosts, the web port."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr

from supportrelay.config.scalars import FilePath, HeaderName, Host, Network, Port, Text, WebUrl
from supportrelay.config.section import Section
from supportrelay.core.envelope import Role

__all__ = ["AuthConfig", "GatewayConfig", "ListenConfig", "OutboundConfig", "TlsConfig", "WebConfig"]

_EVERYWHERE = "0.0.0.0"  # noqa: S104  an MX is there for the world
_PORTS = {"none": 25, "starttls": 587, "implicit": 465}


def _outbox(value: Any) -> Any:
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    return value


class TlsConfig(Section):
    """Certificate of a listener."""

    cert: FilePath = Field(
        description="Certificate with its chain, PEM. A renewed file is noticed within a minute and used for new "
        "sessions; TLS 1.2 and 1.3.",
        examples=["/etc/ssl/relay/fullchain.pem"],
    )
    key: FilePath = Field(description="Its private key, PEM, without password.", examples=["/etc/ssl/relay/key.pem"])
    required: bool = Field(
        default=False, description="Refuse mail before STARTTLS. Leave it off for mx: the world may not offer TLS."
    )
    implicit: bool = Field(
        default=False,
        description="TLS from the first octet, without STARTTLS: submissions on port 465 (RFC 8314 §3.3).",
    )


class ListenConfig(Section):
    """One place where mail comes in."""

    host: Host = Field(
        default=_EVERYWHERE, description="IP address to listen on; '::' is every address, IPv6 included."
    )
    port: Port = Field(default=25, description="TCP port. Below 1024 it needs root or CAP_NET_BIND_SERVICE.")
    path: FilePath | None = Field(
        default=None,
        description="A Unix socket in place of host and port, for lmtp. Whoever may open its folder may send.",
        examples=["/run/supportrelay/lmtp.sock"],
    )
    role: Role = Field(
        default=Role.MX,
        description="mx: takes mail for your own addresses only, from anybody. submission: any recipient, from "
        "trusted_networks and from who logs in, over TLS only ('supportrelay user add'). lmtp: as mx, by LMTP "
        "(RFC 2033) from a mail server near by, at a path or a port; its address proves no sender.",
    )
    proxy_from: tuple[Network, ...] = Field(
        default=(),
        description="Proxies in front of this listener (HAProxy's send-proxy, PROXY protocol 1 or 2): connections from "
        "there must begin with its header, and the client it names is the one that counts. Nobody else's is believed.",
        examples=["[192.0.2.5]"],
    )
    tls: TlsConfig | None = Field(default=None, description="Offer STARTTLS with this certificate.")

    @property
    def place(self) -> tuple[str, int]:
        """Host and port, or path and 0."""
        return (str(self.path), 0) if self.path else (self.host, self.port)


class GatewayConfig(Section):
    """A machine in front of us that passes on everybody's mail."""

    networks: Annotated[tuple[Network, ...], Field(min_length=1)] = Field(
        description="Its addresses. They prove nothing about a sender; a network here and in trusted_networks is an "
        "error.",
        examples=["[192.0.2.0/24]"],
    )
    authserv_id: Text = Field(
        description="The name at the front of the Authentication-Results it writes; only its topmost one counts.",
        examples=["mx.google.com"],
    )
    original_recipient: tuple[HeaderName, ...] = Field(
        default=(),
        description="Header fields in which it notes whom the mail was for before it changed the recipient, best "
        "first. Only an address of ours counts.",
        examples=["[X-Gm-Original-To, Delivered-To]"],
    )


class AuthConfig(Section):
    """Login at a smarthost."""

    kind: Literal["password", "xoauth2", "client_certificate"] = Field(
        default="password", description="How to log in: password, xoauth2 (an access token) or client_certificate."
    )
    user: Text | None = Field(
        default=None, description="User name; needed by password and xoauth2.", examples=["relay@company.example"]
    )
    password: SecretStr | None = Field(
        default=None,
        description="Password. Better kept out of this file: password_file, or a variable of the environment.",
        examples=["'${SMTP_PASSWORD}'"],
    )
    password_file: FilePath | None = Field(
        default=None,
        description="File that holds the password and nothing else.",
        examples=["/etc/supportrelay/password"],
    )
    token: SecretStr | None = Field(default=None, description="Access token of xoauth2.", examples=["'${SMTP_TOKEN}'"])
    token_file: FilePath | None = Field(
        default=None,
        description="File that holds the access token; read again for each login, so that a timer may renew it.",
        examples=["/run/supportrelay/token"],
    )
    cert: FilePath | None = Field(
        default=None, description="Certificate of client_certificate, PEM.", examples=["/etc/supportrelay/client.pem"]
    )
    key: FilePath | None = Field(
        default=None, description="Private key of client_certificate, PEM.", examples=["/etc/supportrelay/client.key"]
    )


class OutboundConfig(Section):
    """A smarthost, or the local outbox of the demo."""

    host: Host | None = Field(
        default=None,
        description="The smarthost's name or address.",
        examples=["smtp.company.example"],
        json_schema_extra={"default": "none; a host or an outbox is needed", "shown": True},
    )
    tls: Literal["none", "starttls", "implicit"] = Field(
        default="starttls",
        description="none: in the clear, for a server on this machine. starttls: begins in the clear, goes on only "
        "encrypted. implicit: encrypted from the first octet.",
    )
    port: Port = Field(
        default_factory=lambda values: _PORTS.get(values.get("tls", "starttls"), _PORTS["starttls"]),
        description="TCP port.",
        json_schema_extra={"default": "587 with starttls, 465 with implicit, 25 with none"},
        examples=["587"],
    )
    tls_verify: bool = Field(
        default=True,
        description="Check the smarthost's certificate and name. Turn it off only for a server of your own that you "
        "reach by a private network.",
    )
    tls_ca: FilePath | None = Field(
        default=None,
        description="Certificates of your own authority, PEM, in place of the system's.",
        examples=["/etc/ssl/company-ca.pem"],
    )
    auth: AuthConfig | None = Field(default=None, description="Login; without it none is tried.")
    outbox: Annotated[Annotated[bool | FilePath, Field(union_mode="left_to_right")], BeforeValidator(_outbox)] = Field(
        default=False,
        description="Instead of a smarthost: keep outgoing mail as .eml files, in the folder 'outbox' beside the "
        "store (true) or in the folder named here. For the demo: nothing leaves the machine.",
        examples=["false"],
    )


class WebConfig(Section):
    """The board, health and metrics."""

    host: Host = Field(
        default="127.0.0.1",
        description="Address to listen on. Keep it on loopback behind a reverse proxy that speaks https.",
    )
    port: Port = Field(default=8080, description="TCP port.")
    public_url: WebUrl | None = Field(
        default=None,
        description="Address under which people reach the board; ticket links in banners begin with it. Without it "
        "banners have no link.",
        examples=["https://desk.company.example"],
    )
    allowed_networks: tuple[Network, ...] = Field(
        default=(),
        description="Networks that may read /readyz and /metrics without login, beside loopback. What a reverse proxy "
        "says it passes on is refused there; one that says nothing (nginx, until it is told to) must not pass them on.",
        examples=["[192.0.2.0/28]"],
    )
