"""What of a new configuration takes effect only after a restart."""

from supportrelay.config.models import Config
from supportrelay.config.network import ListenConfig

__all__ = ["crm_needs_restart", "diff_needing_restart"]


def diff_needing_restart(old: Config, new: Config) -> list[str]:
    """Return the keys that differ and that a running daemon cannot change: ``listen``, ``storage.url`` ...

    Certificates (``listen[].tls``) do not count: new sessions use the new ones. Nor does a CRM's token, nor which of
    its stages mean what: they are used from the next call on.
    """
    pairs = {
        "listen": ([(one.place, one.role, one.proxy_from, _has_tls(one)) for one in c.listen] for c in (old, new)),
        "limits": (c.limits for c in (old, new)),
        "hostname": (c.hostname for c in (old, new)),
        "crm.directory.kind": (c.crm.directory.kind for c in (old, new)),
        "crm.tickets.kind": (c.crm.tickets.kind for c in (old, new)),
        "crm.tickets.pipeline": ((c.crm.hubspot_desk or {}).get("pipeline") for c in (old, new)),
        "crm.tickets.key_property": ((c.crm.hubspot_desk or {}).get("key_property") for c in (old, new)),
        "crm.tickets.webhook_secret": (c.crm.webhook_secret for c in (old, new)),
        "storage.url": (c.storage.url for c in (old, new)),
        "web.host": (c.web.host for c in (old, new)),
        "web.port": (c.web.port for c in (old, new)),
        "workers": (c.workers for c in (old, new)),
    }
    return [key for key, (before, after) in pairs.items() if before != after]


def _has_tls(one: ListenConfig) -> tuple[bool, bool]:
    """What of TLS the listener itself knows; the certificate is not part of it."""
    return (one.tls.required, one.tls.implicit) if one.tls else (False, False)


def crm_needs_restart(old: Config, new: Config) -> bool:
    """Something of ``crm`` differs that a running daemon cannot change; it keeps the whole section then."""
    return any(key.startswith("crm.") for key in diff_needing_restart(old, new))
