"""The use cases: settle host-days, refresh the live ones, restore Redis, and prove the numbers.

Each joins the source, the lake and the store with the domain; webhook.py reports what failed.
Usable from cron and notebooks: Dagster, click and the environment must stay out.
"""
