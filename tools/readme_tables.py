"""Write README's tables of commands and settings from the code, between their marker comments.

``python tools/readme_tables.py`` writes the tables. With ``--check`` it writes nothing; if README
differs from the code, it prints the difference and ends with code 1.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from snapshot_assets.cli import cli
from snapshot_assets.settings import describe_settings

README = Path(__file__).parent.parent / "README.md"


def commands_table() -> str:
    """Each command with its arguments and options, and the first sentence of its help."""
    lines = ["| command | what it does |", "| --- | --- |"]
    context = click.Context(cli)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        lines += _command_rows(name, command)
    return "\n".join(lines)


def settings_table() -> str:
    """Each setting with its default and its meaning."""
    lines = ["| variable | default | meaning |", "| --- | --- | --- |"]
    for variable, default, meaning in describe_settings():
        shown = f"`{default}`" if default else ""
        lines.append(f"| `{variable}` | {shown} | {meaning} |".replace("|  |", "| |"))
    return "\n".join(lines)


TABLES: dict[str, Callable[[], str]] = {"commands": commands_table, "settings": settings_table}


def with_tables(text: str) -> str:
    """The text with each table between ``<!-- NAME: … -->`` and ``<!-- end of NAME -->``.

    Raises:
        ValueError: the markers of a table are missing.
    """
    for name, table in TABLES.items():
        begin, end = f"<!-- {name}: ", f"<!-- end of {name} -->"
        head, found, rest = text.partition(begin)
        note, closed, rest = rest.partition(" -->\n")
        _, ended, tail = rest.partition(end)
        if not (found and closed and ended):
            raise ValueError(f"the markers of the table {name!r} are missing")
        text = f"{head}{begin}{note} -->\n{table()}\n{end}{tail}"
    return text


def _command_rows(name: str, command: click.Command) -> Iterator[str]:
    """The row of a command, and of each of its own commands."""
    usage = " ".join([name, *(_argument(parameter) for parameter in command.params)])
    yield f"| `{usage}` | {_first_sentence(command)} |"
    if isinstance(command, click.Group):
        for own, below in command.commands.items():
            yield from _command_rows(f"{name} {own}", below)


def _argument(parameter: click.Parameter) -> str:
    if isinstance(parameter, click.Argument):
        return parameter.make_metavar(click.Context(cli))
    assert isinstance(parameter, click.Option)
    text = parameter.opts[0]
    if not parameter.is_flag:
        text += f" {parameter.metavar or parameter.opts[0].lstrip('-').upper()}"
    if not parameter.required:
        text = f"[{text}]"
    return f"{text}…" if parameter.multiple else text


def _first_sentence(command: click.Command) -> str:
    return f"{command.get_short_help_str(limit=10_000).removesuffix('.')}."


def main() -> None:
    """Write the tables, or compare them with README."""
    before = README.read_text()
    after = with_tables(before)
    if "--check" in sys.argv[1:]:
        sys.stdout.writelines(
            difflib.unified_diff(
                before.splitlines(keepends=True),
                after.splitlines(keepends=True),
                "README.md",
                "the code says",
            )
        )
        sys.exit(before != after)
    README.write_text(after)


if __name__ == "__main__":
    main()
