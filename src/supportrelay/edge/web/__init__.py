"""The web port: a process of its own, never a mail worker."""
