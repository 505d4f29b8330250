"""The control socket: a person's commands reach the running daemon, and take effect at once.

A Unix socket ``relay.sock`` in the state directory, mode 0600. One JSON object a line in both directions::

    {"op": "queue.retry", "args": {"queue_id": "..."}, "who": "person:ann"}
    {"ok": true, "result": {...}, "languages": {...}}          {"ok": false, "error": "no message 7K…", "exit": 1}

Only root and the daemon's own user are heard; the kernel says who speaks (SO_PEERCRED).
A socket's path may have at most 107 octets, a state directory more: then it is reached through an open descriptor of
its directory (``/proc/self/fd/N/relay.sock``), so it always stands where the state is.

`client` is the command line's half and imports little, `server` the daemon's.
"""
