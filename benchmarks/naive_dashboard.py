"""The straightforward overview: a graph component for each host, filled from the documents.

One callback makes all figures with Plotly's Python classes, with a date for each point, as
tutorials do. The browser loads Dash's full Plotly bundle.
"""

from __future__ import annotations

import datetime as dt

import plotly.graph_objects as go
from dash import Dash, Input, Output, dcc, html
from plotly.subplots import make_subplots

from snapshot_assets.store.reading.reader import RedisReader


def create_naive_app(reader: RedisReader) -> Dash:
    """An application that shows 24 hours of all hosts."""
    app = Dash(__name__, compress=True)
    app.layout = html.Div([dcc.Location(id="url"), html.Div(id="graphs")])

    @app.callback(Output("graphs", "children"), Input("url", "pathname"))
    def _fill(_: str) -> list[dcc.Graph]:
        found = reader.get_data()
        hosts = sorted({host for documents in found.values() for host in documents})
        graphs = []
        for host in hosts:
            mine = {start: each[host] for start, each in found.items() if host in each}
            times = [dt.datetime.fromtimestamp(start, dt.UTC) for start in mine]
            figure = make_subplots(rows=2, shared_xaxes=True)
            for row, (measure, unit) in enumerate((("cpu", "cpu_norm"), ("mem", "rss")), 1):
                values = [document[measure]["command"][unit] for document in mine.values()]
                trace = go.Scatter(x=times, y=values, name=measure, fill="tozeroy")
                figure.add_trace(trace, row=row, col=1)
            figure.update_layout(title=host, height=240)
            graphs.append(dcc.Graph(figure=figure))
        return graphs

    return app
