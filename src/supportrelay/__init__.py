"""supportrelay: a mail relay for a company's support address."""

__version__ = "0.1.0"
