"""What a check finds, and how checks are run one after the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from snapshot_assets.errors import OutageError, SnapshotAssetsError

Level = Literal["ok", "warning", "error"]

# A fault of the collector is the same on many hosts.
_HOSTS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check, and the fix if the result needs one.

    Attributes:
        level: whether it is a problem.
        subject: what it is about, a word or two.
        text: what was found.
        fix: what to do; empty if all is well, or if the text says it.
        outage: whether it is that a server does not answer.
    """

    level: Level
    subject: str
    text: str
    fix: str = ""
    outage: bool = False


Check: TypeAlias = Callable[[], Iterable[Finding]]


def run_checks(subject: str, checks: Iterable[Check]) -> Iterator[Finding]:
    """The findings of all checks; the error that ends a check is its last finding.

    The same error is shown once. After an outage the other checks are not tried, as each would wait
    for the server.
    """
    shown = set()
    for check in checks:
        try:
            yield from check()
        except SnapshotAssetsError as error:
            finding = Finding("error", subject, str(error), outage=isinstance(error, OutageError))
            if finding not in shown:
                shown.add(finding)
                yield finding
            if finding.outage:
                return
        except Exception as error:
            # The other checks can still help, and an unexpected table is why people call a doctor.
            yield Finding(
                "error",
                subject,
                f"this check failed by a mistake of its own: {type(error).__name__}: {error}",
                "please report it, with the version and the line above",
            )


def abridged(found: Iterable[tuple[str, Finding]]) -> Iterator[Finding]:
    """Findings of hosts; of one problem that many hosts have, the first ones and a summary.

    Args:
        found: the host and what was found there. Equal findings become one that names the hosts;
            findings with the same level, subject and fix are one problem.
    """
    hosts: dict[Finding, list[str]] = {}
    for host, finding in found:
        hosts.setdefault(finding, []).append(host)
    by_problem: dict[Finding, list[tuple[str, Finding]]] = {}
    for finding, members in hosts.items():
        # A finding of all hosts has an empty name.
        named = re.search(rf"(?<!\w){re.escape(members[0])}(?!\w)", finding.text)
        whole = finding if named else replace(finding, text=f"{finding.text} ({_some(members)})")
        by_problem.setdefault(replace(finding, text=""), []).append((members[0], whole))
    for problem, findings in by_problem.items():
        most = len(findings) if len(findings) <= _HOSTS_SHOWN + 1 else _HOSTS_SHOWN
        for _, finding in findings[:most]:
            yield finding
        others = [host for host, _ in findings[most:]]
        if others:
            yield replace(problem, text=f"the same on {len(others)} more: {', '.join(others)}")


def _some(hosts: list[str]) -> str:
    more = len(hosts) - _HOSTS_SHOWN
    shown = ", ".join(hosts[:_HOSTS_SHOWN])
    return f"on {shown} and {more} more" if more > 0 else f"on {shown}"
