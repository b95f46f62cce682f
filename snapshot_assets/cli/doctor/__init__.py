"""``snapshot-assets doctor``: looks at settings, source, hosts, Redis and lake; a line a finding.

Each check is a function that yields findings. A finding, an error or a server that is away ends its
own check and no other. Looking changes and creates nothing.
"""
