"""Where the data lives: the source database, the Parquet lake, Redis.

Plain classes, usable from cron, notebooks and the dashboard. They move data and call the domain;
the meaning of the numbers, Dagster and the environment must stay out.
"""
