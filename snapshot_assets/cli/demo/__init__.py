"""The command ``demo``: invented machines, a private Redis server, and the whole product."""
