"""What the numbers mean: pure functions over frames.

Here live time, the stages' schemas, the accounting and the documents. Dagster, Redis, SQL, files,
the clock and the environment must stay out; a lint rule holds that line.
Read :mod:`snapshot_assets.domain.accounting` first: it is the product.
"""
