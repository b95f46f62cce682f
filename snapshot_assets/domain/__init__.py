"""What the numbers mean: pure functions over rows, aggregates and usage.

This package defines time, schemas, accounting, the ledger, usage, summaries and documents. Dagster,
Redis, SQL, files, the clock and the environment must stay out; the linters enforce this.
Read :mod:`snapshot_assets.domain.accounting` first: it is the core of the product.
"""
