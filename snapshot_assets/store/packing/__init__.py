"""How usage and summaries become bytes, and are read back: bytes in, arrays out.

The chain: aggregates → usage → documents | packing ← summary. Three layouts, each with its own
version: a *bucket* (JSON, for the newest buckets, which change one by one), a *day* of buckets, and
a day's *summary* (both in compressed sections). Every byte of a text is under its checksum, and
decoding never executes anything. Bytes of older versions stay readable, because Redis keeps them
for up to a year. Adding a number: see CONTRIBUTING. Where the bytes are kept is the business of
:mod:`snapshot_assets.store.layout`.
"""
