"""The product's own functions, one after the other, as the settled path calls them.

Read, validate, account, validate, build documents, validate, write: a group of hosts at a time.
Neither Dagster nor the lake takes part. With ``overlap`` one thread reads the next group meanwhile;
``read`` is then only the time spent waiting for it.
"""

from __future__ import annotations

