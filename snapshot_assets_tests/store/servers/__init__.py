"""Redis as it runs elsewhere: Sentinels, clusters, other versions, users, outages."""
