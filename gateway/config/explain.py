"""What pydantic complains about, in plain words, at the place where it is written."""

import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.config.document import BROKEN, Document, Loc, dotted
from gateway.config.faults import Fault, Wrong, meant, one_of
from gateway.config.instead import key_instead, shape_instead
from gateway.config.values import duration_text, kind_of


def note_all(document: Document, model: type[BaseModel], invalid: ValidationError) -> list[ErrorDetails]:
    """Add to *document* the faults of validating it as *model*; return what pydantic said."""
    errors = invalid.errors(include_url=False)
    for error in errors:
        # A list whose only item is wrong counts as empty, too.
        loc = error["loc"]
        if error["type"] != "too_short" or not any(
            len(e["loc"]) > len(loc) and e["loc"][: len(loc)] == loc for e in errors
        ):
            _note(document, model, error)
    return errors


def _note(document: Document, model: type[BaseModel], error: ErrorDetails) -> None:
    """Add the fault that *error* stands for."""
    loc: Loc = error["loc"]
    known = document.known(loc)
    reason, hint = _words(model, loc, error)
    if error["type"] == "missing":
        document.fault((*known, loc[-1]), reason, hint, at_key=True)
    elif error["input"] is BROKEN and error["type"] != "extra_forbidden":
        return  # it has its fault already
    elif source := document.borrowed.get(loc):
        document.faults.append(Fault(document.source, 0, 0, dotted(loc), f"{reason} (from {source})", hint))
    else:
        document.fault(known, reason, hint, at_key=error["type"] == "extra_forbidden" or loc[-1:] == ("[key]",))


def _words(model: type[BaseModel], loc: Loc, error: ErrorDetails) -> tuple[str, str]:
    """Return the reason and the hint for *error*."""
    context: dict[str, Any] = error.get("ctx", {})
    value = error["input"]
    match error["type"]:
        case "value_error" if isinstance(wrong := context.get("error"), Wrong):
            return wrong.reason, wrong.hint
        case "extra_forbidden":
            keys = sorted(_keys_at(model, loc[:-1]))
            hint = key_instead(loc) or meant(str(loc[-1]), keys) or f"possible here: {', '.join(keys)}"
            return "unknown key", hint
        case "missing":
            return "this key is missing", ""
        case "literal_error":
            words = re.findall(r"'([^']*)'", context["expected"])
            return f"{kind_of(value)} is not possible here", (
                meant(value, words) if isinstance(value, str) else ""
            ) or f"write {one_of(words)}"
        case "model_type" | "mapping_type" | "dict_type":
            return f"keys with values are needed here, not {kind_of(value)}", shape_instead(loc)
        case "tuple_type" | "list_type":
            return f"a list is needed, not {kind_of(value)}", shape_instead(loc)
        case "too_short":
            return "at least one is needed here", ""
        case "greater_than_equal":
            return f"at least {_limit(context['ge'])} is needed", ""
        case "less_than_equal":
            return f"at most {_limit(context['le'])} is possible", ""
        case "string_too_long":
            return f"at most {context['max_length']} characters are possible", ""
        case "string_pattern_mismatch":
            return f"{kind_of(value)} is not possible here", f"it must look like {context['pattern']}"
        case _:
            return error["msg"], ""


def _limit(value: float) -> str:
    return duration_text(value) if isinstance(value, float) else str(value)


def _keys_at(annotation: Any, loc: Loc) -> set[str]:
    """Return the keys that are possible at *loc* below *annotation*; steps that it does not know are tags."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        fields = {field.alias or name: field for name, field in annotation.model_fields.items()}
        if not loc:
            return set(fields)
        field = fields.get(str(loc[0]))
        more = annotation.__annotations__.get("__pydantic_extra__")
        return _keys_at(more if field is None else field.annotation, loc[1:])
    found: set[str] = set()
    for inner in _inner(annotation):
        found |= _keys_at(inner, loc)
        if loc:
            found |= _keys_at(inner, loc[1:])
    return found


def _inner(annotation: Any) -> Iterator[Any]:
    """Yield the types that *annotation* is made of: members of unions, values of containers."""
    for argument in get_args(annotation):
        if isinstance(argument, type) or get_args(argument):
            yield argument
