"""Tests of the Parquet files and their notes."""
