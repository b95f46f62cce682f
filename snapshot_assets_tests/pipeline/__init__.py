"""Tests of the use cases, without Dagster."""
