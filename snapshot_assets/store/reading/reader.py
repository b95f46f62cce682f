"""Reading from Redis with threads. Every page view waits for these methods.

This module has the public methods. The plans of this package make the requests and turn the answers
into results. :mod:`snapshot_assets.store.writing` writes.
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
    """Reads documents and frames from Redis. Gives up after about two seconds without an answer.

    Takes the arguments of :class:`~snapshot_assets.store.client.StoreClient`. Threads may share a
    reader, with its connections. A context manager.
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
            resolution: ``5min`` for the documents that Redis keeps. ``hour`` and ``day`` give means
                over the covered time in the same format, with ``resolution`` instead of
                ``snapshots`` in ``meta``. ``auto`` chooses as in :meth:`get_frame`.

        Returns:
            Start of the bucket or interval (epoch seconds) to its document, ascending. If ``host``
            is None, to ``{host: document}``. Buckets without coverage are absent.

        Raises:
            ValueError: a naive datetime, a range that ends before it starts, or an unknown
                resolution.
            StoreOutageError: Redis does not answer.
            StoreError: Redis rejects the request, or holds something that is not a document.
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
        """What hosts used in a time range, as columns: about ten times as fast as the documents.

        Args:
            hosts: one or several; all if None.
            start_time: aware, included: the first bucket starts at this time or later. Default: 24
                hours before ``end_time``.
            end_time: aware, excluded: the last bucket starts before this time, so that consecutive
                ranges share no bucket. Default: now.
            measure: ``cpu`` (cores) or ``mem`` (GB, 1e9 bytes).
            by: what each interval is broken down by: ``username``, ``comm``, both, or None for the
                host's total. Or ``machine``: what the kernel counted of the whole machine.
            resolution: ``5min``, ``hour``, ``day`` (UTC), or ``auto``: buckets for up to two days,
                hours for up to 45 days, else days. Sums over the range are the same at each
                resolution. An interval that lies partly in the range counts only the buckets in the
                range.

        Returns:
            One row for each covered interval of each host, and for each name that it is broken down
            by, ordered by host (as given, else by name), start, username and comm:

            * ``start`` (datetime, UTC): start of the interval
            * ``host`` (category)
            * ``username``, ``comm`` (category): only those in ``by``. ``(other)`` stands for all
              use that is not listed by name, and comes last in each interval
            * ``cores_mean`` or ``gb_mean`` (float64): average over the covered time
            * ``cores_peak`` or ``gb_peak`` (float64): highest 5-minute value
            * ``core_seconds`` or ``gb_seconds`` (float64): mean times covered seconds; these add up
            * ``covered_seconds`` (float64): covered time of the interval
            * ``coverage`` (float64): covered share of the whole interval
            * ``settled`` (bool): whether the whole interval is settled

            An interval without coverage has no row. A covered interval without any use has a row of
            zeros, with ``by`` under ``(other)``. Seconds of the rows add up to the host's total.

            By ``machine``, the rows are those of the host's total, and mean, peak and seconds are
            the kernel's own count, NaN where it is unknown. Before ``covered_seconds`` follow, as
            float64:

            * ``cores_capacity`` or ``gb_capacity``: what the machine has; the newest known
            * ``users_core_seconds`` or ``users_gb_seconds``: what all users together used in the
              time of which the kernel's count is known; these add up
            * ``users_share``: this divided by the machine's seconds. Processes that no snapshot saw
              and excluded accounts make it smaller; memory that processes share makes it larger

            ``covered_seconds`` and ``coverage`` are of the covered time of which the kernel's count
            is known, 0 where it is unknown.

        Raises:
            ValueError: a naive datetime, a range that ends before it starts, or an unknown measure,
                grouping or resolution.
            StoreOutageError: Redis does not answer.
            StoreError: Redis rejects the request, or holds something that is not a frame, or a
                frame of a newer version.
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
        """CPU and memory as :meth:`get_frame` returns them, from one reading.

        One call is cheaper than two calls of :meth:`get_frame`, and both frames come from the same
        answers. Without ``by``, both frames have rows for the same intervals of the same hosts.

        Raises:
            ValueError, StoreOutageError, StoreError: as :meth:`get_frame`.
        """
        plan = self._frames.frames(hosts, start_time, end_time, MEASURES, by, resolution)
        return run(plan, self.base)

    def frames_and_machine(
        self,
        hosts: str | Sequence[str] | None = None,
        start_time: dt.datetime | None = None,
        end_time: dt.datetime | None = None,
        *,
        by: str | Sequence[str] | None = None,
        resolution: Resolution | str = "auto",
    ) -> tuple[dict[Measure, pd.DataFrame], dict[Measure, pd.DataFrame]]:
        """The results of :meth:`get_frames` with this ``by`` and by ``machine``, from one reading.

        For the dashboard, which draws both in one chart.

        Raises:
            ValueError, StoreOutageError, StoreError: as :meth:`get_frame`.
        """
        plan = self._frames.frames_and_machine(hosts, start_time, end_time, by, resolution)
        return run(plan, self.base)

    def hosts(
        self, start_time: dt.datetime | None = None, end_time: dt.datetime | None = None
    ) -> list[str]:
        """The hosts with frames on the UTC days that ``[start_time, end_time)`` touches, sorted.

        The default range is the last 24 hours.

        Raises:
            ValueError, StoreOutageError, StoreError: as :meth:`get_data`.
        """
        return run(self._plans(PresencePlans).hosts(start_time, end_time), self.base)

    def last_update(self, host: str | None = None) -> dt.datetime | None:
        """The start (UTC) of the newest bucket with a document of this host, or of any if None.

        The search goes back from now to the end of the retention. None if there is no document.

        Raises:
            StoreOutageError, StoreError: as :meth:`get_data`.
        """
        return run(self._plans(PresencePlans).last_update(host), self.base)

    def holdings(self, buckets: Sequence[int]) -> dict[int, Holding]:
        """For each bucket the hosts with a document, and the expiry of its key (epoch seconds).

        For the census. The documents themselves are not read.

        Raises:
            StoreOutageError, StoreError: as :meth:`get_data`.
        """
        return run(self._plans(PresencePlans).holdings(buckets), self.base)

    def frame_holdings(self, day: int, hosts: Sequence[str]) -> dict[str, FrameHolding]:
        """The frames of each host on the UTC day that starts at this epoch second.

        For the census. The frames themselves are not read.

        Raises:
            StoreOutageError, StoreError: as :meth:`get_data`.
        """
        return run(self._plans(PresencePlans).frame_holdings(day, hosts), self.base)

    def records(self, days: Sequence[int]) -> dict[int, dict[str, str]]:
        """What made the data of each settled host, by the UTC days' starts (epoch seconds).

        For the census. :func:`snapshot_assets.domain.fingerprint.record` writes a record.

        Raises:
            StoreOutageError, StoreError: as :meth:`get_data`.
        """
        return run(self._plans(PresencePlans).records(days), self.base)

    def usage(self, host: str, buckets: range) -> Usage | None:
        """A host's usage in these buckets, from the frames, for a comparison with the documents.

        None if the frames have nothing on these days.

        Raises:
            StoreOutageError, StoreError: as :meth:`get_frame`.
        """
        return run(self._frames.usage(host, buckets), self.base)

    def progress(self) -> Progress:
        """How far this server was filled, and the hosts that the live path has read.

        Raises:
            StoreOutageError, StoreError: as :meth:`get_data`.
        """
        return run(self._plans(PresencePlans).progress(), self.base)

    @property
    def _frames(self) -> FramePlans:
        # Documents are read without pandas.
        from snapshot_assets.store.reading.frames import FramePlans

        return self._plans(FramePlans)
