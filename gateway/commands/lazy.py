"""Verbs and groups of them that are imported when they are asked for, so that `gateway --help` stays quick."""

from importlib import import_module
from typing import Any

import rich_click as click


class Verbs(click.RichGroup):
    """A group whose verbs are in a module of their own, in a group of the same name."""

    module = ""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return self._verbs().list_commands(ctx)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self._verbs().get_command(ctx, cmd_name)

    def _verbs(self) -> click.Group:
        group = getattr(import_module(self.module), self.name or "")
        assert isinstance(group, click.Group)
        return group


def verbs(name: str, words: str) -> Verbs:
    """Return the group *name* of `gateway.commands.<name>`, which *words* explain."""
    group = Verbs(name=name, help=words)
    group.module = f"gateway.commands.{name}"
    return group


class Verb(click.RichCommand):
    """A verb that is in a module of its own, as `NAME_command`."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        module = import_module(f"gateway.commands.{self.name}")
        command = getattr(module, f"{self.name}_command")
        assert isinstance(command, click.Command)
        return command.make_context(info_name, args, parent, **extra)


def verb(name: str, words: str) -> Verb:
    """Return the verb *name* of `gateway.commands.<name>`, which *words* explain in the list of all."""
    return Verb(name=name, help=words)
