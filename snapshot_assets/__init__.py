"""Process snapshots from MySQL, accounted to 5 minutes with Dagster, served from Redis.

Layers, each importing only those to its right:
``definitions -> orchestration -> store -> domain``. Nothing connects, reads settings or looks at
the clock at import.
"""
