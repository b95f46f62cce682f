"""Benchmarks: commands that measure versions side by side in one run, without asserting times."""
