"""Reading from Redis with threads. What every page view waits for.

Here are the public methods; what they request, and what is made of the answers, is in the plans of
this package. Writing is :mod:`snapshot_assets.store.writing`'s business.
"""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from snapshot_assets.domain.measures import MEASURES, Document, Measure, Resolution
from snapshot_assets.store.client import ThreadedClient
from snapshot_assets.store.reading.documents import DocumentPlans
from snapshot_assets.store.reading.plan import run
from snapshot_assets.store.reading.presence import (
    FrameHolding,
    Holding,
    PresencePlans,
    Progress,
)
from snapshot_assets.store.transport.connections import Patience

if TYPE_CHECKING:
    import pandas as pd

    from snapshot_assets.domain.usage import Usage
    from snapshot_assets.store.reading.frames import FramePlans

__all__ = ["Document", "FrameHolding", "Holding", "RedisReader"]

READER_PATIENCE = Patience(0.9, 1, 0.1)


class RedisReader(ThreadedClient):
    """Reads what the writer put there. Gives up after about two seconds without an answer.

    Takes the arguments of :class:`~snapshot_assets.store.client.StoreClient`. Threads may share
    one, and its connections. A context manager.
    """

    default_patience: ClassVar[Patience] = READER_PATIENCE

    def get_data(
        self,
        host: str | None = None,
        start_time: dt.datetime | None = None,
        end_time: dt.datetime | None = None,
        resolution: Resolution | str = "5min",
    ) -> OrderedDict[int, dict[str, Any]]:
        """The documents of a time range.

        Args:
            host: one host; all if None.
            start_time: aware; the first bucket start wanted, included. Default: 24 hours before
                ``end_time``.
            end_time: aware; the last bucket start wanted, included (:meth:`get_frame` excludes it).
                Default: now.
            resolution: ``5min`` for the documents as they are kept. ``hour``, ``day`` and ``auto``,
                as in :meth:`get_frame`, give means over the covered time in the same layout, with
                ``resolution`` instead of ``snapshots`` in ``meta``.

        Returns:
            Epoch second of the bucket to its document, ascending; to ``{host: document}`` where
            ``host`` is None. Buckets without coverage have no document and are absent.

        Raises:
            ValueError: a naive datetime, or a range that ends before it starts.
            StoreOutageError: Redis does not answer.
            StoreError: Redis refuses, or holds something that is no document.
        """
        plan = self._plans(DocumentPlans).data(host, start_time, end_time, resolution)
        return run(plan, self.base)

    def get_frame(
        self,
        hosts: str | Sequence[str] | None = None,
        start_time: dt.datetime | None = None,
        end_time: dt.datetime | None = None,
        *,
        measure: Measure = "cpu",
        by: str | Sequence[str] | None = None,
        resolution: Resolution | str = "auto",
    ) -> pd.DataFrame:
        """What hosts used in a time range, as columns: an order faster than the documents.

        Args:
            hosts: one or several; all if None.
            start_time: aware, included: buckets that start at it or later. Default: 24 hours before
                ``end_time``.
            end_time: aware, excluded: buckets that start before it, so that consecutive ranges
                share no bucket. Default: now.
            measure: ``cpu`` (cores) or ``mem`` (GB, 1e9 bytes).
            by: what each interval is broken down by: ``username``, ``comm``, both, or None for the
                host's total.
            resolution: ``5min``, ``hour``, ``day`` (UTC), or ``auto``: up to two days in 5 minutes,
                up to 45 in hours. Sums over the range are the same at each. An interval that the
                range cuts holds what lies within.

        Returns:
            One row for each covered interval of each host and what it is broken down by, ordered by
            host (as given, else by name), start, username and comm:

            * ``start`` (datetime, UTC): start of the interval
            * ``host`` (category)
            * ``username``, ``comm`` (category): as asked. ``(other)`` is the rest that is not
              listed by name, last in each interval
            * ``cores_mean`` or ``gb_mean`` (float64): average over the covered time
            * ``cores_peak`` or ``gb_peak`` (float64): highest 5 minutes
            * ``core_seconds`` or ``gb_seconds`` (float64): use by time; these add up
            * ``covered_seconds`` (float64): how much of the interval snapshots cover
            * ``coverage`` (float64): the same as a share of the whole interval
            * ``settled`` (bool): whether all of it is settled

            An interval without coverage has no row. A covered one in which nothing was used has a
            zero, in the total and in ``(other)``. Rows add up to the host's total.

        Raises:
            ValueError: a naive datetime, a backward range, or an unknown measure, grouping or
                resolution.
            StoreOutageError: Redis does not answer.
            StoreError: Redis refuses, or holds something that is no frame of this version.
        """
        plan = self._frames.frames(hosts, start_time, end_time, (measure,), by, resolution)
        return run(plan, self.base)[measure]

    def get_frames(
        self,
        hosts: str | Sequence[str] | None = None,
        start_time: dt.datetime | None = None,
        end_time: dt.datetime | None = None,
        *,
        by: str | Sequence[str] | None = None,
        resolution: Resolution | str = "auto",
    ) -> dict[Measure, pd.DataFrame]:
        """CPU and memory as :meth:`get_frame` gives them, from one reading.

        Cheaper than asking twice, and both are of the same moment: without
        ``by`` their rows are the same intervals of the same hosts.

        Raises:
            ValueError, StoreOutageError, StoreError: as :meth:`get_frame`.
        """
        plan = self._frames.frames(hosts, start_time, end_time, MEASURES, by, resolution)
        return run(plan, self.base)

    def hosts(
        self, start_time: dt.datetime | None = None, end_time: dt.datetime | None = None
    ) -> list[str]:
        """The hosts with anything on the UTC days that ``[start_time, end_time)`` touches, sorted.

        By default the last 24 hours.

        Raises:
            ValueError, StoreOutageError, StoreError: as :meth:`get_data`.
        """
        return run(self._plans(PresencePlans).hosts(start_time, end_time), self.base)

    def last_update(self, host: str | None = None) -> dt.datetime | None:
        """The start of the newest bucket with a document, UTC, of one host or of any.

        Looks back from now as far as the retention goes. None if there is none.

        Raises:
            StoreOutageError, StoreError: as :meth:`get_data`.
        """
        return run(self._plans(PresencePlans).last_update(host), self.base)

    def holdings(self, buckets: Sequence[int]) -> dict[int, Holding]:
        """Who has a document in each of these buckets, and until when it is kept.

        For the census; the documents themselves are not read.

        Raises:
            StoreOutageError, StoreError: as :meth:`get_data`.
        """
        return run(self._plans(PresencePlans).holdings(buckets), self.base)

    def frame_holdings(self, day: int, hosts: Sequence[str]) -> dict[str, FrameHolding]:
        """What frames these hosts have of the UTC day that starts at this epoch second.

        For the census, as :meth:`holdings`.
        """
        return run(self._plans(PresencePlans).frame_holdings(day, hosts), self.base)

    def usage(self, host: str, buckets: range) -> Usage | None:
        """What a host's frames say of these buckets, for comparing it with the documents."""
        return run(self._frames.usage(host, buckets), self.base)

    def progress(self) -> Progress:
        """How far this server was filled, and with whom.

        Raises:
            StoreOutageError, StoreError: as :meth:`get_data`.
        """
        return run(self._plans(PresencePlans).progress(), self.base)

    @property
    def _frames(self) -> FramePlans:
        # Documents are read without pandas.
        from snapshot_assets.store.reading.frames import FramePlans

        return self._plans(FramePlans)
