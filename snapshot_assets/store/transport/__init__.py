"""Sending commands to Redis and receiving answers. The meaning of both must stay out."""
