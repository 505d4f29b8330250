"""NextHop: what a server says at EHLO that it takes."""

from supportrelay.core.value import value_class

__all__ = ["NextHop"]


@value_class
class NextHop:
    """What the next server takes.

    Attributes:
        eight_bit: 8BITMIME (RFC 6152): bodies may hold octets over 127.
        utf8: SMTPUTF8 (RFC 6531): header fields and addresses may.
    """

    eight_bit: bool = True
    utf8: bool = True

    def takes(self, octets: bytes, *, is_smtputf8: bool) -> bool:
        """Tell whether it takes a mail as it is.

        Args:
            is_smtputf8: The mail came as SMTPUTF8, so that its header may hold UTF-8. Raw octets in the header of any
                other mail were never legal and have come this far; they are no reason to touch it.
        """
        return (self.eight_bit and (self.utf8 or not is_smtputf8)) or octets.isascii()
