"""How usage and summaries become bytes, and bytes become usage and summaries.

The chain: aggregates → usage → documents | packing ← summary. There are three formats, each with
its own version: a *bucket* (JSON, for the newest buckets, which change one by one), a *day* of
buckets, and a day's *summary* (both in compressed sections). A *text* is one such value as bytes.
Since version 2 the checksum of a text covers every byte of the text. Decoding never executes
anything, and each declared size is checked against the actual bytes. Readers also read the older
versions, because Redis keeps texts for up to a year. Adding a number: see CONTRIBUTING.
:mod:`snapshot_assets.store.layout` has the keys.
"""
