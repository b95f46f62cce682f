"""How collectors sample hosts: cadence, lateness, units, and what is odd about the rows.

Pure functions for the doctor and for checks. A finding says what is wrong; the caller that shows
the finding says what to do.
"""

from snapshot_assets.domain.sampling.cadence import HostCadence, cadences, sampled
from snapshot_assets.domain.sampling.reporting import HostState, state_of
from snapshot_assets.domain.sampling.units import likely_rss_unit

__all__ = ["HostCadence", "HostState", "cadences", "likely_rss_unit", "sampled", "state_of"]
