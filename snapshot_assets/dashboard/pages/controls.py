"""Controls that several pages have: segments to choose from, labelled fields; no callback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component


def segments(name: str, labels: Mapping[str, str], chosen: str) -> Component:
    """A row of buttons of which one is chosen.

    Args:
        name: id of the component.
        labels: value to what its button says.
        chosen: value at the beginning.
    """
    return dcc.RadioItems(
        id=name,
        options=[{"label": label, "value": value} for value, label in labels.items()],
        value=chosen,
        className="segments",
        labelClassName="segment",
    )


def suggested_input(label: str, name: str, suggestions: str, placeholder: str) -> list[Component]:
    """A field for a name, with the list of names that the browser suggests.

    Args:
        label: what the field is for.
        name: id of the field.
        suggestions: id of the list, whose options a callback fills.
        placeholder: what the empty field shows.
    """
    typed = labelled_input(
        label,
        id=name,
        type="text",
        list=suggestions,
        placeholder=placeholder,
        debounce=True,
        maxLength=300,
    )
    return [typed, html.Datalist(id=suggestions)]


def labelled_input(label: str, **options: Any) -> Component:
    """A field to type into, with its label; the options are those of Dash's ``Input``."""
    return html.Label([html.Span(label, className="label"), dcc.Input(**options)])
