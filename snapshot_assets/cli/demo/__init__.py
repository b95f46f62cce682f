"""The command ``demo``: invented machines, a Redis server of its own, and everything at once."""
