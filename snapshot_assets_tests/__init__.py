"""The tests. They start private servers and need nothing that is already running."""
