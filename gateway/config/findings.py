"""A fault that comes out of what values mean together, on its way into the document."""

from typing import NamedTuple

from gateway.config.document import Loc


class Finding(NamedTuple):
    """What is wrong, and where."""

    loc: Loc
    reason: str
    hint: str = ""
    at_key: bool = False
