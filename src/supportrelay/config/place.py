"""Where the configuration is, and where it keeps its state: what can be known without the models."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

import yaml

from supportrelay.config.source import read_source
from supportrelay.core.errors import ConfigError

__all__ = ["DEFAULT_URL", "SEARCHED", "SQLITE", "find_config", "is_for_everybody", "state_folder_of"]

SEARCHED = ("config/supportrelay.yaml", "/etc/supportrelay/supportrelay.yaml")
"""Where the configuration is looked for when neither ``--config`` nor ``$SUPPORTRELAY_CONFIG`` names it."""
SQLITE = "sqlite:///"
DEFAULT_URL = "sqlite:////var/lib/supportrelay/relay.db"
"""``storage.url`` when nothing else is said."""

_QUICK = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def find_config(explicit: str | None, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the configuration file to use.

    Args:
        explicit: What ``--config`` said; None looks at ``$SUPPORTRELAY_CONFIG`` and then at `SEARCHED`.
        environment: Of the process.

    Raises:
        ConfigError: There is none. A file that was named is not looked for: `load` says what is wrong with it.
    """
    named = explicit or environment.get("SUPPORTRELAY_CONFIG")
    if named:
        return Path(named)
    for place in SEARCHED:
        if Path(place).is_file():
            return Path(place)
    places = " or ".join(SEARCHED)
    told = f"no configuration: name it with --config or $SUPPORTRELAY_CONFIG, or put it at {places}"
    raise ConfigError([f"{told}; 'supportrelay init' writes a first one"])


def state_folder_of(file: Path, environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return ``Config.state_folder`` of a configuration without validating it; None when that cannot be told.

    A daemon that runs there has a valid configuration, whatever the file says by now: asking it needs no more than
    this. Who finds no daemon loads the file, and is told what is wrong with it.
    """
    try:
        values = read_source(file, environment, loader=_QUICK).values
    except ConfigError:
        return None
    storage = values.get("storage", {}) if isinstance(values, dict) else None
    url = storage.get("url", DEFAULT_URL) if isinstance(storage, dict) else None
    if not isinstance(url, str) or not url.startswith(SQLITE):
        return None
    return Path(os.path.normpath(file.parent.absolute() / url.removeprefix(SQLITE))).parent


def is_for_everybody(file: Path) -> bool:
    """Every user of the machine may read it; False when that cannot be told."""
    try:
        return bool(file.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False
