"""The collectors' table: database, queries, meaning of the columns, and this package's collector.

Redis, the lake and the meaning of the numbers must stay out.
"""
