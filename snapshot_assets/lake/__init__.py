"""The durable history: Parquet files by dataset, day and host, and the notes inside the files.

Redis, the source table and the meaning of the numbers must stay out.
"""
