"""What the pages say is so: tables, links, paths, names, numbers, and one word for one thing.

The blocks that the pages invite people to run are run in test_docs_run.py, the examples of the
accounting in test_docs_accounting.py.
"""

from __future__ import annotations

import ast
import dataclasses
import datetime as dt
import re
import subprocess
import sys
from pathlib import Path

import click
import dagster as dg
import pytest

from snapshot_assets.cli import cli
from snapshot_assets.definitions import build_defs
from snapshot_assets.domain.ledger import Ledger, RowClass
from snapshot_assets.domain.rules import AccountingRules
from snapshot_assets.domain.time import Window
from snapshot_assets.errors import StoreError
from snapshot_assets.store.layout import COMPLETE
from snapshot_assets.store.reading.reader import RedisReader
from snapshot_assets_tests.support.markdown import (
    PAGES,
    README,
    ROOT,
    blocks,
    code_words,
    headings,
    page_name,
    prose,
    section,
    table_rows,
)
from snapshot_assets_tests.support.servers import Redis

DOCS = ROOT / "docs"
ADRS = sorted((DOCS / "adr").glob("0*.md"))
ACCOUNTING = DOCS / "accounting.md"
ARCHITECTURE = DOCS / "architecture.md"
PACKAGE = ROOT / "snapshot_assets"


# --- tables from the code -----------------------------------------------------------------------


def test_the_readme_s_tables_are_what_the_code_says() -> None:
    """Commands with options and meanings, settings with defaults and meanings."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "readme_tables.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"run tools/readme_tables.py\n{done.stdout}{done.stderr}"


def test_help_shows_a_whole_sentence_for_each_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    context = click.Context(cli, info_name="snapshot-assets")
    shown = cli.get_help(context)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        assert command.help is not None
        sentence = " ".join(command.help.split("\n\n")[0].split())
        assert re.search(rf"^ +{name} +{re.escape(sentence)}$", shown, re.M), sentence


# --- links and paths ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "page", sorted({*PAGES, *ROOT.glob("*.md"), ROOT / "benchmarks" / "README.md"}), ids=page_name
)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in headings(file)):
            broken.append(target)
    assert not broken


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "CHANGELOG.md"], ids=page_name)
def test_modules_and_files_that_a_page_names_exist(page: Path) -> None:
    """The changelog also names what was."""
    known = (ROOT, PACKAGE, PACKAGE / "dashboard")
    named = [
        word
        for word in code_words(prose(page))
        if re.fullmatch(r"[\w./-]+\.(py|acl|conf|sh)|[\w./-]+/", word)
        and not word.startswith(("/", "data/"))
    ]
    assert not [word for word in named if not any((root / word).exists() for root in known)]


def test_pages_that_the_code_names_exist() -> None:
    for file in PACKAGE.rglob("*.py"):
        for name in re.findall(r"\bdocs/[\w/-]+(?:\.md)?", file.read_text()):
            found = (ROOT / name).exists() or list(ROOT.glob(f"{name}-*.md"))
            assert found, f"{file.relative_to(ROOT)} names {name}"


def test_the_index_names_every_page() -> None:
    index = (DOCS / "README.md").read_text()
    for page in DOCS.glob("*.md"):
        assert page.name == "README.md" or f"]({page.name})" in index


def test_the_map_names_every_folder_of_the_package() -> None:
    (map_,) = [b.text for b in blocks("") if b.text.startswith("snapshot_assets/")]
    named = re.findall(r"^  ([\w.]+/?)", map_, re.MULTILINE)
    assert all((PACKAGE / name).exists() for name in named), named
    folders = {f"{init.parent.name}/" for init in PACKAGE.glob("*/__init__.py")}
    assert folders <= set(named)


def test_the_readme_leads_to_the_functions_that_it_names() -> None:
    """``name()`` in [`module`](file): the function is there, and the line that is quoted, too."""
    found = re.findall(r"`(\w+)\(\)` in \[`[\w/.]+`\]\(([\w/.]+)\)([^|]*)\|", README.read_text())
    assert {"split_at_borders", "packed", "account"} <= {name for name, _, _ in found}
    for name, file, rest in found:
        text = (ROOT / file).read_text()
        functions = {
            node.name: ast.get_source_segment(text, node)
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef)
        }
        assert name in functions, f"{file} has no {name}()"
        for line in re.findall(r"the line `(.+?) …`", rest):
            assert f"    {line} " in (functions[name] or ""), f"{name}() has no line {line!r}"


# --- one sentence, one word ---------------------------------------------------------------------


def test_the_layer_rule_is_one_sentence_everywhere() -> None:
    (rule,) = re.findall(r"^`(cli \| .+)`$", README.read_text(), re.MULTILINE)
    assert f"`{rule}`" in ARCHITECTURE.read_text()
    docstring = ast.get_docstring(ast.parse((PACKAGE / "__init__.py").read_text())) or ""
    assert f"``{rule}``" in " ".join(docstring.split())


def test_the_glossary_has_one_row_for_a_word() -> None:
    rows = table_rows((DOCS / "glossary.md").read_text())
    words = [row[0] for row in rows]
    assert len(words) > 60
    assert len(words) == len(set(words))
    assert all(len(row) == 3 and row[1] for row in rows)


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "glossary.md"], ids=page_name)
def test_the_pages_keep_to_the_words(page: Path) -> None:
    """The glossary lists what is avoided."""
    avoided = r"\b(looked at|nobody looked|provisional|lest|hangs on|is none|is told|are told)\b"
    assert not re.findall(avoided, prose(page), re.IGNORECASE)


# --- decisions ----------------------------------------------------------------------------------


def test_every_decision_has_date_and_status_and_is_in_the_index() -> None:
    index = table_rows((DOCS / "adr" / "README.md").read_text())
    listed = {row[0]: row for row in index}
    assert list(listed) == [str(i + 1) for i in range(len(ADRS))], "no number is left out"
    for adr in ADRS:
        head = re.match(r"# (\d+)\. (.+)\n\n- Date: (\S+)\n- Status: (.+)\n\n", adr.read_text())
        assert head, adr.name
        number, title, date, status = head.groups()
        assert adr.name.startswith(f"{int(number):04}-")
        dt.date.fromisoformat(date)
        assert listed[number] == [number, f"[{title}]({adr.name})", date, status]


# --- what the code does -------------------------------------------------------------------------


def test_read_range_is_as_wide_as_the_page_says() -> None:
    text = section(ACCOUNTING, "The range that is read")
    day = Window.of_day(dt.date(2026, 11, 22))
    start, end = AccountingRules().read_range(day)
    assert f"{day.start - start:.0f} s" in text
    assert f"{end - day.end:.0f} s" in text
    for epoch in (start, end):
        assert f"{dt.datetime.fromtimestamp(epoch, dt.UTC):%H:%M:%S}" in text


def test_the_ledger_s_fields_and_classes_are_explained() -> None:
    words = [row[0].strip("`") for row in table_rows(section(ACCOUNTING, "The ledger"))]
    fields = [field.name for field in dataclasses.fields(Ledger)]
    classes = [row_class.label for row_class in RowClass]
    assert sorted(words) == sorted([*fields, *classes])


def test_the_pages_name_dagster_s_assets_and_checks() -> None:
    defs = build_defs()
    assets = {key.to_user_string() for key in defs.resolve_all_asset_keys()}
    picture = section(ARCHITECTURE, "The assets")
    assert assets == set(
        re.findall(r"\b(processes|[a-z_]+_(?:rows|aggregates|snapshots))\b", picture)
    )
    checks = {
        spec.name
        for definition in defs.asset_checks or ()
        for spec in (
            definition.check_specs if isinstance(definition, dg.AssetChecksDefinition) else ()
        )
    } | {"live_rows_match_schema"}
    listed = {
        word
        for row in table_rows(section(DOCS / "operations.md", "Checks"))
        for word in code_words(row[1])
    } - {"other"}
    assert listed == checks


def test_the_number_of_the_layout_is_the_code_s() -> None:
    found = {name for page in PAGES for name in re.findall(r"\bcomplete:\d+", page.read_text())}
    assert found == {COMPLETE}


def test_an_error_about_rights_names_a_heading_that_exists(redis_server: Redis) -> None:
    with redis_server.client() as client:
        client.acl_setuser("pages", enabled=True, passwords=["+secret"], commands=["+ping"])
        try:
            url = redis_server.url().replace("//", "//pages:secret@")
            with RedisReader(url=url) as reader, pytest.raises(StoreError) as caught:
                reader.hosts()
        finally:
            client.acl_deluser("pages")
    found = re.search(r"see '(.+)' in (docs/\S+\.md)", str(caught.value))
    assert found
    assert found[1] in headings(ROOT / found[2]).values()
