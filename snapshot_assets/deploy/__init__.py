"""Settings of a Dagster instance, ready to use: files, no code."""
