"""Reading from Redis with threads. What every page view waits for.

Here live the public methods and how their requests get to the server and back; what they ask and
make of it is told in :mod:`snapshot_assets.store.reading.documents` and
:mod:`snapshot_assets.store.reading.frames`. Writing is
:mod:`snapshot_assets.store.writing.writer`'s business.
"""

from __future__ import annotations

import datetime as dt
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

import pandas as pd

from snapshot_assets.domain.documents import Document
from snapshot_assets.domain.summary import Resolution
from snapshot_assets.domain.usage import MEASURES, Measure, Usage
from snapshot_assets.store.reading.documents import Holding, Plans
from snapshot_assets.store.reading.frames import FrameHolding
from snapshot_assets.store.reading.plan import Plan, answers_of, batch_of
from snapshot_assets.store.transport.connections import Patience
from snapshot_assets.store.transport.server import RedisBase
from snapshot_assets.store.transport.wire import exchange

__all__ = ["Document", "FrameHolding", "Holding", "RedisReader"]

_Result = TypeVar("_Result")

READER_PATIENCE = Patience(0.9, 1, 0.1)


class RedisReader(Plans, RedisBase):
    """Reads what the writer put there. Gives up after about two seconds without an answer.

    Takes the arguments of :class:`~snapshot_assets.store.transport.server.RedisServer`. Threads may
    share one, and its connections.
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
            end_time: aware; the last bucket start wanted, included. Default: now.
            resolution: ``5min`` for the documents as they are kept. ``hour``, ``day`` and ``auto``,
                as in :meth:`get_frame`, give means over the covered time in the same layout, with
                ``resolution`` instead of ``snapshots`` in ``meta``.

        Returns:
            Epoch second of the bucket to its document, ascending; to ``{host: document}`` where
            ``host`` is None. Buckets without a document are absent: a gap is not a zero.

        Raises:
            ValueError: a naive datetime, or a range that ends before it starts.
            StoreOutageError: Redis does not answer.
            StoreError: Redis refuses, or holds something that is no document.
        """
        return self._run(self._data_plan(host, start_time, end_time, resolution))

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
            start_time: aware; the first bucket start wanted, included. Default: 24 hours before
                ``end_time``.
            end_time: aware; the last bucket start wanted, included. Default: now.
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
            * ``cores_mean`` or ``gb_mean`` (float64): average while the host was looked at
            * ``cores_peak`` or ``gb_peak`` (float64): highest 5 minutes
            * ``core_seconds`` or ``gb_seconds`` (float64): use by time; these add up
            * ``covered_seconds`` (float64): how much of the interval was looked at
            * ``coverage`` (float64): the same as a share of the whole interval
            * ``settled`` (bool): whether all of it was accounted for good

            An interval that was not looked at has no row: a gap is absent. One in which nothing was
            used has a zero, in the total and in ``(other)``. Rows add up to the host's total.

        Raises:
            ValueError: a naive datetime, a backward range, or an unknown measure, grouping or
                resolution.
            StoreOutageError: Redis does not answer.
            StoreError: Redis refuses, or holds something that is no frame of this version.
        """
        plan = self._frame_plan(hosts, start_time, end_time, (measure,), by, resolution)
        return self._run(plan)[measure]

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
        plan = self._frame_plan(hosts, start_time, end_time, MEASURES, by, resolution)
        return self._run(plan)

    def hosts(
        self, start_time: dt.datetime | None = None, end_time: dt.datetime | None = None
    ) -> list[str]:
        """The hosts with anything on the UTC days that the range touches, sorted.

        By default the last 24 hours.

        Raises:
            ValueError, StoreOutageError, StoreError: as :meth:`get_data`.
        """
        return self._run(self._hosts_plan(start_time, end_time))

    def last_update(self, host: str | None = None) -> dt.datetime | None:
        """The start of the newest bucket with a document, UTC, of one host or of any.

        Looks back from now as far as the retention goes. None if there is none.

        Raises:
            StoreOutageError, StoreError: as :meth:`get_data`.
        """
        return self._run(self._last_update_plan(host))

    def holdings(self, buckets: Sequence[int]) -> dict[int, Holding]:
        """Who has a document in each of these buckets, and until when it is kept.

        For the census; the documents themselves are not read.

        Raises:
            StoreOutageError, StoreError: as :meth:`get_data`.
        """
        return self._run(self._holdings_plan(buckets))

    def frame_holdings(self, day: int, hosts: Sequence[str]) -> dict[str, FrameHolding]:
        """What frames these hosts have of the UTC day that starts at this epoch second.

        For the census, as :meth:`holdings`.
        """
        return self._run(self._frame_holdings_plan(day, hosts))

    def usage(self, host: str, buckets: range) -> Usage | None:
        """What a host's frames say of these buckets, for comparing it with the documents."""
        return self._run(self._usage_plan(host, buckets))

    def _run(self, plan: Plan[_Result]) -> _Result:
        with self.explained():
            try:
                asks = next(plan)
                while True:
                    answers = exchange(self.client, batch_of(asks), self.patience)
                    asks = plan.send(answers_of(asks, answers))
            except StopIteration as done:
                result: _Result = done.value
                return result
