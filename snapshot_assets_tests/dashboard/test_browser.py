"""What Python declares of the browser's functions is what the scripts define, and exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from snapshot_assets import dashboard
from snapshot_assets.dashboard.browser import (
    ConsumersMeta,
    Installation,
    OverviewData,
    browser_callbacks,
    split,
)
from snapshot_assets.dashboard.shell import PAGES, TABS
from snapshot_assets_tests.dashboard.test_pages import ask
from snapshot_assets_tests.support.world import World

ASSETS = Path(dashboard.__file__).parent / "assets"
CALLBACKS = browser_callbacks(tuple(TABS), tuple(page.NAME for page in PAGES))


def test_each_declared_function_is_defined_once_and_no_other_is() -> None:
    script = (ASSETS / "90-callbacks.js").read_text()
    (body,) = re.findall(r"const functions = \{\n(.*?)\n  \};", script, re.DOTALL)
    defined = re.findall(r"^    (\w+)(?:,|:|\()", body, re.MULTILINE)
    assert sorted(defined) == sorted(callback.function for callback in CALLBACKS)


def test_names_in_the_functions_are_declared() -> None:
    declared = {n for one in CALLBACKS for n in (*one.triggers, *one.reads, *one.writes)}
    script = (ASSETS / "90-callbacks.js").read_text()
    used = set(re.findall(r"\"([a-z-]+\.[a-zA-Z_]+)\"", script))
    assert len(used) > 20
    assert used <= declared


def test_declared_names_are_components_of_the_layout(world: World) -> None:
    with world.app() as app:
        layout: Any = app.layout
        known = {component.id for component in layout._traverse_ids()}
    for callback in CALLBACKS:
        for name in (*callback.triggers, *callback.reads, *callback.writes):
            assert split(name)[0] in known, f"{callback.function}: {name}"


def test_the_stores_hold_the_declared_keys(world: World) -> None:
    with world.app() as app:
        layout: Any = app.layout
        (installation,) = [c for c in layout._traverse() if getattr(c, "id", "") == "installation"]
        overview, users = ask(app, "/"), ask(app, "/users")
    assert set(installation.data) == set(Installation.__annotations__)
    assert set(installation.data["sections"].values()) == {page.NAME for page in PAGES}
    assert set(overview["overview-data.data"]) == set(OverviewData.__annotations__)
    assert set(users["consumers-meta.data"]) == set(ConsumersMeta.__annotations__)


def test_no_script_is_longer_than_a_screenful_of_pages() -> None:
    own = [path for path in ASSETS.glob("*.js") if path.name != "00-plotly-basic.min.js"]
    assert len(own) > 5
    assert max(len(path.read_text().splitlines()) for path in own) <= 400
