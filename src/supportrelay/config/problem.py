"""Problem: one mistake in the configuration, and where it stands."""

from dataclasses import dataclass

__all__ = ["KeyPath", "Problem", "print_key_path"]

KeyPath = tuple[str | int, ...]
"""Way from the root to a value: names of keys and numbers of list items, from 0."""


def print_key_path(path: KeyPath) -> str:
    """``addresses[0].sender.address``; "" for the root."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            text += f".{step}" if text else step
    return text


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake.

    Attributes:
        path: The value that is wrong.
        text: What is wrong, for the person who wrote the file; never a secret.
        is_about_key: The key itself is wrong (unknown, twice), not its value.
        mark: Line and column from 1 where that is known better than by the path.
    """

    path: KeyPath
    text: str
    is_about_key: bool = False
    mark: tuple[int, int] | None = None
