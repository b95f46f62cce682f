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


def labelled_input(label: str, **options: Any) -> Component:
    """A field to type into, with its label; the options are those of Dash's ``Input``."""
    return html.Label([html.Span(label, className="label"), dcc.Input(**options)])
