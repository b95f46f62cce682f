"""Tests of the collectors' table."""
