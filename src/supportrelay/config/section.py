"""Section: what every part of the configuration has in common."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic.fields import FieldInfo

__all__ = ["Section", "is_later", "later"]

_LATER = "later"


class Section(BaseModel):
    """A mapping of the configuration: unknown keys are errors, values never change after loading.

    Each field carries a description (what, unit, reason) from which the annotated example is printed. ``examples``
    holds one YAML text where the default says too little; ``json_schema_extra={"default": ...}`` puts a computed
    default into words.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        coerce_numbers_to_str=True,  # 'name: 123' is text written without quotes
        hide_input_in_errors=True,  # secrets
        arbitrary_types_allowed=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_unset(cls, values: Any) -> Any:
        """A known key without value ('rules:' with everything under it commented out) is not set."""
        if isinstance(values, dict):
            return {k: v for k, v in values.items() if v is not None or k not in cls.model_fields}
        return values


def later(why: str) -> dict[str, Any]:
    """``json_schema_extra`` of a field that is part of the contract and has no effect yet."""
    return {_LATER: why}


def is_later(field: FieldInfo) -> str:
    """Why a field has no effect in this version, "" when it has one."""
    extra = field.json_schema_extra
    return str(extra.get(_LATER, "")) if isinstance(extra, dict) else ""
