"""The use cases: settle host-days, refresh live buckets, restore Redis, and prove the numbers.

Each use case joins the source, the lake and the store with the domain; webhook.py reports what
failed. Cron and notebooks can use them. Code that needs Dagster, click or environment variables
must stay out.
"""
