"""Our own collector: reads this machine, and writes what it read to the two tables of the source.

Who already has a collector does not need this one. ``snapshot.py`` has the values; ``sampling.py``
and ``proc.py`` read the operating system; ``definitions.py``, ``fitting.py`` and ``tables.py``
write to the database; ``outbox.py`` and ``loop.py`` keep going. What the numbers mean stays out.
"""
