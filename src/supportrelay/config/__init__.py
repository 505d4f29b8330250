"""The configuration: models, loading with line numbers, warnings, the annotated example, the first file.

Only `bootstrap`, `cli` and `admin` import this. `reference.example_text` and `first.first_configuration` are imported
from their modules. The names below are imported when they are asked for: a command beside a running daemon needs only
`find_config` and `state_folder_of`, and the models take longer to import than such a command may take.
"""

import importlib
from typing import TYPE_CHECKING, Any

from supportrelay.config.place import find_config, state_folder_of
from supportrelay.core.errors import ConfigError

if TYPE_CHECKING:
    from supportrelay.config.advice import warnings
    from supportrelay.config.checks import owner_conflicts
    from supportrelay.config.loading import load
    from supportrelay.config.models import Config
    from supportrelay.config.ports import check_ports
    from supportrelay.config.reload import crm_needs_restart, diff_needing_restart

__all__ = [
    "Config",
    "ConfigError",
    "check_ports",
    "crm_needs_restart",
    "diff_needing_restart",
    "find_config",
    "load",
    "owner_conflicts",
    "state_folder_of",
    "warnings",
]

_MODULES = {
    "Config": "models",
    "check_ports": "ports",
    "crm_needs_restart": "reload",
    "diff_needing_restart": "reload",
    "load": "loading",
    "owner_conflicts": "checks",
    "warnings": "advice",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = found
    return found
