"""Small readings of what people type."""

from supportrelay.core.mailbox import comparing_form

__all__ = ["read_address"]


def read_address(text: str) -> str:
    """An address in comparing form.

    Raises:
        AddressError: Not an address.
    """
    return comparing_form(text.strip())
