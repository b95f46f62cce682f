"""Fingerprints: with which settings, and from which content, a host-day was made.

A *recipe* is the settings that the numbers of a host-day depend on, as readable text. A
*fingerprint* is one short text of two halves: a digest of the recipe, and a digest of the
aggregates. The lake keeps the recipe and the digest of the aggregates in the note of each file.
Redis keeps the *record* of each settled host-day beside its data: the fingerprint of the aggregates
that were published, and the recipe of the documents. docs/adr/0020-fingerprints.md says why.

Equal settings give equal texts in every process and in every version of Python. Which host-days
differ is decided in :mod:`snapshot_assets.pipeline.changed`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from snapshot_assets.domain.rules import AccountingRules, DocumentRules

if TYPE_CHECKING:  # the settings load without pandas
    import numpy.typing as npt
    import pandas as pd

# The edition of docs/accounting.md that the code follows. Raise it if the same rows and settings
# give other numbers: every settled day then counts as made by other rules.
EDITION: Final = 2

Recipe: TypeAlias = Mapping[str, str]

_EDITION_KEY: Final = "edition"
_DIGEST_CHARACTERS = 12
_UNKNOWN = "unknown"


def accounting_recipe(rules: AccountingRules, host: str) -> dict[str, str]:
    """The settings of the accounting that a host's aggregates depend on.

    Args:
        rules: the rules of the accounting.
        host: the host, because each has a capacity of its own.
    """
    cores = rules.capacity_cores.get(host)
    return {
        _EDITION_KEY: str(EDITION),
        "max_gap": number_text(rules.max_gap_seconds),
        "slack": number_text(rules.slack_seconds),
        "pass_seconds": number_text(rules.pass_seconds),
        "pass_span": number_text(rules.pass_span_seconds),
        "min_cputimes": number_text(rules.min_cputimes),
        "exclude_users": names_text(rules.excluded_users),
        "drop_idle_memory": "yes" if rules.drop_idle_memory else "no",
        "capacity_cores": "" if cores is None else number_text(cores),
    }


def reading_recipe(rss_unit: str, renamed: Mapping[str, str]) -> dict[str, str]:
    """The settings that the meaning of the source's rows depends on.

    The database and the name of the table are not among them: a table that moves keeps its numbers.

    Args:
        rss_unit: unit of the column ``rss``.
        renamed: the columns that have another name in the table, with that name.
    """
    pairs = [f"{column}={name}" for column, name in renamed.items()]
    return {"rss_unit": rss_unit, "source_columns": names_text(pairs)}


def document_recipe(rules: DocumentRules) -> dict[str, str]:
    """The settings that documents and frames depend on, besides those of the aggregates."""
    return {
        "cpu_threshold": number_text(rules.cpu_threshold_cores),
        "mem_threshold": number_text(rules.mem_threshold_gb),
    }


def live_recipe(
    accounting: AccountingRules, documents: DocumentRules, reading: Recipe
) -> dict[str, str]:
    """The settings that the live figures of all hosts depend on.

    Args:
        accounting: how rows become aggregates.
        documents: how aggregates become documents and frames.
        reading: how rows are read.
    """
    capacities = {host: number_text(cores) for host, cores in accounting.capacity_cores.items()}
    return {
        **accounting_recipe(accounting, ""),
        "capacity_cores": digest_of(capacities) if capacities else "",
        **reading,
        **document_recipe(documents),
    }


def recipe_text(recipe: Recipe) -> str:
    """A recipe as JSON; :func:`recipe_of_text` is the inverse."""
    return json.dumps(dict(recipe))


def recipe_of_text(text: str | None) -> dict[str, str]:
    """The inverse of :func:`recipe_text`; empty for no text, or a text of another form."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(name): str(value) for name, value in found.items()}


def number_text(value: float) -> str:
    """The shortest text of a number; 900 and 900.0 have the same."""
    # Adding zero takes the sign from a negative zero.
    return repr(float(value) + 0.0).removesuffix(".0")


def names_text(names: Sequence[str]) -> str:
    """The text of a set of names: neither their order nor repetitions matter."""
    # A name may hold commas, or bytes that are no text.
    return ", ".join(
        json.dumps(name, ensure_ascii=not name.isprintable()) for name in sorted(set(names))
    )


def recipe_digest(recipe: Recipe) -> str:
    """The digest of a recipe; ``unknown`` for the empty recipe of an earlier version's file."""
    if not recipe:
        return _UNKNOWN
    return digest_of(dict(recipe))


def fingerprint(recipe: Recipe, content: str) -> str:
    """The fingerprint of aggregates.

    Args:
        recipe: the settings that made them; empty if they are not known.
        content: the digest of the aggregates.
    """
    return f"{recipe_digest(recipe)}.{content}"


def recipe_half(fingerprint: str) -> str:
    """The digest of the recipe in a fingerprint."""
    return fingerprint.partition(".")[0]


def record(fingerprint: str, documents: Recipe) -> str:
    """What Redis keeps beside a settled host-day.

    Args:
        fingerprint: of the aggregates that were published.
        documents: the settings of the documents, as :func:`document_recipe`.
    """
    return " ".join([fingerprint, *(f"{name}={value}" for name, value in documents.items())])


def parts_of_record(text: str) -> tuple[str, dict[str, str]]:
    """The inverse of :func:`record`; parts of another form are left out."""
    fingerprint, *pairs = text.split(" ")
    return fingerprint, dict(pair.split("=", 1) for pair in pairs if "=" in pair)


def differences(made: Recipe, now: Recipe) -> tuple[str, ...]:
    """What differs between two recipes, such as ``max_gap 900 -> 600``; empty if nothing does.

    Args:
        made: the settings that made something; empty if they are not known.
        now: the settings now.
    """
    if not made:
        return ("made by an earlier version",)
    return tuple(
        f"{name} {_shown(made, name)} -> {_shown(now, name)}"
        for name in [*now, *(name for name in made if name not in now)]
        if made.get(name) != now.get(name)
    )


def aggregates_digest(aggregates: pd.DataFrame) -> str:
    """The digest of aggregates: equal for equal names, types and values, in the same order.

    Args:
        aggregates: as the schema :class:`~snapshot_assets.domain.schemas.FiveMinuteAggregates`.
    """
    digest = sha256()
    for name in aggregates.columns:
        column = aggregates[name]
        texts: list[str] = []
        match column.dtype.kind:
            case "O":  # a categorical
                texts, values = column.cat.categories.tolist(), column.cat.codes.to_numpy()
            case "M":
                values = column.dt.as_unit("s").astype("int64").to_numpy()
            case _:
                values = column.to_numpy()
        digest.update(json.dumps([name, texts, values.dtype.kind, len(values)]).encode())
        digest.update(_canonical(values).tobytes())
    return digest.hexdigest()[:_DIGEST_CHARACTERS]


def digest_of(value: Any) -> str:
    """The digest of plain types; the order of a dictionary's keys does not matter."""
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:_DIGEST_CHARACTERS]


def _canonical(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The numbers in eight bytes each, with one kind of zero and one kind of NaN."""
    if values.dtype.kind != "f":
        return values.astype("<i8")
    numbers = values.astype("<f8") + 0.0
    numbers[numbers != numbers] = float("nan")
    return numbers


def _shown(recipe: Recipe, name: str) -> str:
    return recipe.get(name, _UNKNOWN) or "none"
