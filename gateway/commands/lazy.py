"""Groups of verbs that are imported when one of them is asked for, so that `gateway --help` stays quick."""

from importlib import import_module

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
