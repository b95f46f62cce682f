"""Shared by tests of the domain: process rows, usage, and slow twins of the code."""
