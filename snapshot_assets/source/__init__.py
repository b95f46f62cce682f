"""The collectors' table: the database, its queries, what its columns mean, and our own collector.

Redis, the lake and the meaning of the numbers must stay out.
"""
