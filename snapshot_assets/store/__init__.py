"""Redis and nothing else: keys, formats, the connection, readers and writers.

SQL, files, Dagster and the environment must stay out.
"""
