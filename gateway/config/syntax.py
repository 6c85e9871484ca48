"""What libyaml complains about, in the words of somebody who has made the same mistakes."""

import re

import yaml

from gateway.config.faults import Fault, Source

_QUOTE_BRACES = 'inside { } and [ ], text with braces needs quotes: "/orders/{id}", "${NAME}"'
_COLUMNS = "keys of one mapping, and dashes of one list, start in the same column"


def explained(source: Source, text: str, error: yaml.YAMLError) -> Fault:
    """Return the fault that *error* found in *text*."""
    if not isinstance(error, yaml.MarkedYAMLError) or (error.problem_mark or error.context_mark) is None:
        return _of_reader(source, text, error)
    problem = error.problem or ""
    context = error.context or ""
    mark = error.problem_mark or error.context_mark
    assert mark is not None
    start = error.context_mark or mark
    line = source.lines[mark.line] if mark.line < len(source.lines) else ""
    char = line[mark.column : mark.column + 1]

    def fault(reason: str, hint: str = "", *, at: "yaml.Mark" = mark) -> Fault:
        return Fault(source, at.line + 1, at.column + 1, "", reason, hint)

    if problem == "found undefined alias":
        return fault('"*" begins an alias in YAML, and no anchor has this name', "put quotes around plain text")
    if "alias" in context:
        return fault('"*" begins an alias in YAML', 'put quotes around it: "*.example.com"', at=start)
    if "anchor" in context:
        return fault('"&" begins an anchor in YAML', "put quotes around the text", at=start)
    if problem.startswith(("did not find expected ',' or '}'", "did not find expected ',' or ']'")):
        if char in ("{", "}") and not _closes_a_list(line, mark.column):
            return fault("a brace in the middle of plain text", _QUOTE_BRACES)
        closing = problem[-2]
        if mark.line >= len(source.lines):
            return fault(f'the matching "{closing}" is missing', at=start)
        return fault(f'"," or "{closing}" is missing', f"opened on line {start.line + 1}")
    if problem == "found character that cannot start any token":
        if char == "\t":
            return fault("a tab cannot indent YAML", "use spaces")
        return fault(f'plain text cannot begin with "{char}"', "put quotes around it")
    if problem == "mapping values are not allowed in this context":
        return fault('":" is not possible here', f'text with ": " in it needs quotes; {_COLUMNS}')
    if problem == "could not find expected ':'":
        return fault('":" is missing behind a key', at=start)
    if problem == "found unexpected end of stream":
        return fault("a quote is never closed", at=start)
    if problem == "found unknown escape character":
        return fault('"\\" begins an escape in double quotes', "use single quotes for text with backslashes")
    if context == "expected a single document in the stream":
        return fault('a second document begins here ("---")', "one file holds one document")
    if problem in ("did not find expected '-' indicator", "did not find expected key"):
        return fault("the indentation does not fit what is above", _COLUMNS)
    if problem == "block sequence entries are not allowed in this context":
        return fault('a list cannot begin behind ":" on the same line', "start a new line, or write [a, b]")
    return fault(f"YAML cannot read this: {problem}")


def _of_reader(source: Source, text: str, error: yaml.YAMLError) -> Fault:
    position = getattr(error, "position", None)
    if isinstance(position, int):
        # libyaml counts bytes or characters, depending on the build, so the character itself is looked for.
        found = re.search(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text)
        before = text[: found.start() if found else position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        return Fault(source, line, column, "", "control characters are not possible in YAML")
    return Fault(source, 0, 0, "", f"YAML cannot read this: {error}")


def _closes_a_list(line: str, column: int) -> bool:
    """Say whether the brace at *column* stands where a list of the same line is still open."""
    open_ = [char for char in re.sub(r"\"[^\"]*\"|'[^']*'", "", line[:column]) if char in "[]{}"]
    while "]" in open_ and (at := open_.index("]")) and open_[at - 1] == "[":
        del open_[at - 1 : at + 1]
    return line[column] == "}" and open_[-1:] == ["["]
