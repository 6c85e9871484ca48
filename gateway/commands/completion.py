"""`gateway completion`: what a shell needs to complete verbs and options."""

import rich_click as click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL: eval "$(gateway completion bash)" in its startup file."""
    made = get_completion_class(shell)
    assert made is not None
    root = ctx.find_root()
    script = made(root.command, {}, "gateway", "_GATEWAY_COMPLETE")
    # Not `source()`, which starts a bash to ask for its version.
    click.echo(script.source_template % script.source_vars())
