"""SMTP out: one delivery in, one Outcome back, over pooled connections to the smarthosts.

* `smarthost`: where mail goes and how to log in there.
* `link`: one open connection, from the TCP handshake to the login.
* `pool`: the connections to one smarthost.
* `wire`: the message and its addresses as they go over the wire.
* `courier`: one attempt, command by command; failover.
"""

from supportrelay.edge.smtp_out.courier import SmtpCourier
from supportrelay.edge.smtp_out.link import Patience
from supportrelay.edge.smtp_out.pool import PoolLimits
from supportrelay.edge.smtp_out.smarthost import Login, Smarthost

__all__ = ["Login", "Patience", "PoolLimits", "Smarthost", "SmtpCourier"]
