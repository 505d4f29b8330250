"""value_class: how values are declared. Nobody changes one after it was made.

A frozen dataclass pays for that at every making: its fields are set through ``object.__setattr__``, three times the
price of an assignment (measured: 5 % of a mail's whole cost). So only the type checker forbids changes here, which it
does before anything runs; ``dataclasses.replace`` makes changed copies as usual.
"""

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

__all__ = ["value_class"]

T = TypeVar("T")


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def value_class(cls: type[T]) -> type[T]:
    """Declare a value: slots, equality and hash by its fields."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
