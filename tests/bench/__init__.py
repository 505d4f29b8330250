"""``make bench``: supportrelay and Postfix's plain relay side by side, on this machine, in the same run.

``smtp-source -> X -> smtp-sink`` over loopback: 20 sessions from ten senders, a new connection a message, 4 KiB
messages; a message counts when it arrived at the sink. Pieces run alone, for example::

    PYTHONPATH=tests .venv/bin/python -m bench --only throughput --rounds 2 --messages 2000

Modules: ``tools`` (Postfix's programs), ``load`` (smtp-source, smtp-sink), ``processes`` (CPU time, memory),
``postfix`` and ``relay`` (the two X), ``probes`` (what is measured), ``fill`` (a store with a past),
``report`` (table and JSON).
"""
