"""The tests of the pure domain: worked examples, invariants, and a slow second implementation."""
