"""bootstrap_dkim: the configured DKIM keys, ready to sign."""

from supportrelay.config import Config
from supportrelay.config.problem import print_key_path
from supportrelay.core.dkim_signature import SealKey
from supportrelay.core.errors import ConfigError, InputError
from supportrelay.edge.dkim import DkimSealer, PrivateKey, read_key, seal_key

__all__ = ["open_sealer", "private_keys"]


def private_keys(config: Config) -> list[PrivateKey]:
    """A key for each entry of ``dkim``, in order.

    Raises:
        ConfigError: One of them cannot be used; the text never holds it.
    """
    keys, problems = [], []
    for number, one in enumerate(config.dkim):
        path = (*config.dkim_path(number), "private_key")
        try:
            keys.append(read_key((one.private_key.get_secret_value() if one.private_key else "").encode()))
        except InputError as exc:
            problems.append(f"{config.where(*path)}: {print_key_path(path)}: {exc}")
    if problems:
        raise ConfigError(problems)
    return keys


def open_sealer(config: Config) -> DkimSealer | None:
    """What signs our mail; None without keys. Raises as `private_keys`."""
    keys = private_keys(config)
    sealing: list[SealKey] = [
        seal_key(one.domain, one.selector, key) for one, key in zip(config.dkim, keys, strict=True)
    ]
    return DkimSealer(sealing) if sealing else None
