"""The stations that move a message from one committed state to the next."""
