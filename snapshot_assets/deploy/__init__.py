"""Example files, ready to use: Dagster instances, nginx, Redis users. No code belongs here."""
