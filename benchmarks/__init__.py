"""Benchmarks: commands that measure side by side in one run. No test, no assertion on time."""
