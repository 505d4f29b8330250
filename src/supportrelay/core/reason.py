"""Reason: why something was decided, as a code and its values; the catalogues turn it into a sentence."""

from datetime import UTC, datetime

from supportrelay.core.value import value_class

__all__ = ["Reason", "rfc3339"]


@value_class
class Reason:
    """One step of a decision.

    Attributes:
        code: A msgid of the catalogues without the prefix ``reason.``, lower case with dots: ``thread.in_reply_to``.
        values: Placeholders of that sentence; JSON scalars only.
    """

    code: str
    values: tuple[tuple[str, str | int | bool | None], ...] = ()

    @classmethod
    def of(cls, code: str, **values: str | int | bool | None) -> "Reason":
        """A reason from keyword values."""
        return cls(code, tuple(values.items()))

    def to_json(self) -> dict[str, str | int | bool | None]:
        """``{"code": ..., value names ...}``, the form kept in the store."""
        return {"code": self.code, **dict(self.values)}

    @classmethod
    def from_json(cls, stored: dict[str, str | int | bool | None]) -> "Reason":
        """The inverse of `to_json`."""
        return cls(str(stored["code"]), tuple((k, v) for k, v in stored.items() if k != "code"))


def rfc3339(at: datetime) -> str:
    """An instant as reasons and JSON write it: ``2026-11-22T10:31:00Z``."""
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
