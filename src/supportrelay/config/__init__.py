"""The configuration: models, loading with line numbers, warnings, the annotated example, the first file.

Only `bootstrap`, `cli` and `admin` import this. `reference.example_text` and `first.first_configuration` are imported
from their modules.
"""

from supportrelay.config.advice import warnings
from supportrelay.config.checks import owner_conflicts
from supportrelay.config.loading import find_config, load
from supportrelay.config.models import Config
from supportrelay.config.ports import check_ports
from supportrelay.config.reload import diff_needing_restart
from supportrelay.core.errors import ConfigError

__all__ = [
    "Config",
    "ConfigError",
    "check_ports",
    "diff_needing_restart",
    "find_config",
    "load",
    "owner_conflicts",
    "warnings",
]
