"""Times as people read and type them: ranges, zones, months, axis ticks.

Values in, values out. The current time comes as an argument, and so does the viewer's zone: no
module here reads a clock, the environment or the server's local zone. A bucket is always UTC; only
what people read and type is local.
"""
