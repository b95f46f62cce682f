"""The register of hosts that are no longer expected: retired machines, and names that changed.

It is one small file in the lake, ``hosts.json``, because the lake outlives Redis and Dagster. Of
two commands that change it at the same time, the later one wins.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from snapshot_assets.errors import LakeError
from snapshot_assets.lake.lake import Lake

FILE: Final = "hosts.json"


@dataclass(frozen=True, slots=True)
class Farewell:
    """Why a host is no longer expected.

    Attributes:
        at_epoch: when an operator said so, epoch seconds.
        newest_epoch: time of the host's newest row at that time, epoch seconds; a later row means
            that the host reports again. The time of the operator's word if there was no row.
        renamed_to: the name that the machine has now; None for a retired machine.
    """

    at_epoch: float
    newest_epoch: float
    renamed_to: str | None = None

    def is_over(self, newest_epoch: float | None) -> bool:
        """Whether the host reports again: it has a row that is newer than those of that time."""
        return newest_epoch is not None and newest_epoch > self.newest_epoch


def read_register(lake: Lake) -> dict[str, Farewell]:
    """The hosts that are no longer expected; empty without a file.

    Raises:
        LakeError: the file cannot be read, or is damaged.
    """
    content = lake.read_file(FILE)
    if content is None:
        return {}
    try:
        return {host: _farewell(said) for host, said in json.loads(content)["hosts"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LakeError(
            f"{FILE} in the lake is damaged ({error}); repair it, or remove it and say again "
            "which hosts are retired or renamed"
        ) from None


def write_register(lake: Lake, register: Mapping[str, Farewell]) -> None:
    """Replace the register.

    Raises:
        LakeError: the file cannot be written.
    """
    hosts = {
        host: {
            "at_epoch": one.at_epoch,
            "newest_epoch": one.newest_epoch,
            **({} if one.renamed_to is None else {"renamed_to": one.renamed_to}),
        }
        for host, one in sorted(register.items())
    }
    content = json.dumps({"hosts": hosts}, ensure_ascii=False, indent=1)
    lake.write_file(FILE, f"{content}\n".encode())


def _farewell(said: Mapping[str, Any]) -> Farewell:
    renamed_to = said.get("renamed_to")
    return Farewell(
        float(said["at_epoch"]),
        float(said["newest_epoch"]),
        None if renamed_to is None else str(renamed_to),
    )
