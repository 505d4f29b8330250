"""How people type, and in which language they are answered."""

from typing import Any

from supportrelay.core.mailbox import comparing_form

__all__ = ["languages_of", "read_address"]


def read_address(text: str) -> str:
    """An address in comparing form.

    Raises:
        AddressError: Not an address.
    """
    return comparing_form(text.strip())


def languages_of(config: Any) -> dict[str, str]:
    """The language of each support address by its name, and under "" the one in which commands answer.

    That is ``language`` of the configuration when it is set, else the first address's.
    """
    of_addresses = {address.name: str(address.language) for address in config.desk().addresses}
    first = next(iter(of_addresses.values()))
    return {**of_addresses, "": str(config.language) if "language" in config.model_fields_set else first}
