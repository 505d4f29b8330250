"""People who may log in: their passwords (`passwords`), and what a login goes through (`login`).

The command line hashes passwords with `passwords` alone; it imports nothing else of the relay.
"""
