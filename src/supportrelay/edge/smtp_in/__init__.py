"""SMTP in: dialogue -> Envelope and octets, Reply -> wire.

`start_listener` opens a port on our own event loop. What may come in is asked of an `IntakePolicy`, what came is handed
to ``take``; both are plain callables, so that the flow and the configuration stay strangers to this edge.

* `command`: the grammar of MAIL and RCPT.
* `content`: from the octets after DATA to the message.
* `intake`: what the sessions of a listener share: policy, limits, custody of messages.
* `connection`: octets, lines, deadlines of one connection, on aiosmtpd's protocol class.
* `arrival`: until the greeting.
* `session`: the dialogue; `transaction`: its part about a message; `auth`: who somebody is; `lmtp`: the same as LMTP.
* `proxy`: what a proxy says about its client; `census`: who is connected; `refusals`: the log of those sent away.
* `certificates`: what TLS shows; `eager`: how a handshake begins; `spool`: large messages on disk.
* `listener`: the port, its limits, the way out.
"""

from supportrelay.edge.smtp_in.census import Census, SharedCounts
from supportrelay.edge.smtp_in.certificates import Certificates
from supportrelay.edge.smtp_in.intake import IntakePolicy, Limits, Take
from supportrelay.edge.smtp_in.listener import Listener, start_listener

__all__ = ["Census", "Certificates", "IntakePolicy", "Limits", "Listener", "SharedCounts", "Take", "start_listener"]
