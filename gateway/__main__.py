"""`gateway` and `python -m gateway`.

`healthcheck` runs every few seconds in a container, so it is answered before the command line library is loaded.
"""

import sys


def main() -> None:
    """Run the command line; exit with its status."""
    if sys.argv[1:2] == ["healthcheck"] and len(sys.argv) == 2:
        from gateway.healthcheck import check

        sys.exit(check())
    from gateway.cli import cli

    cli()


if __name__ == "__main__":
    main()
