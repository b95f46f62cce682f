"""What tests of the domain share: process rows, usage, and slow twins of the code."""
