"""Tests of our own collector."""
