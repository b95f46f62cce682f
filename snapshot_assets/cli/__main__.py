"""``python -m snapshot_assets.cli`` is ``snapshot-assets``."""

from snapshot_assets.cli import main

main()
