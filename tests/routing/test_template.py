"""What may be written as a path, and what the writer is told otherwise."""

import re

import pytest

from gateway.routing.template import REST, Kind, Segment, parse, segments_of, shape


@pytest.mark.parametrize(
    ("template", "segments"),
    [
        ("/", ()),
        ("/admin", (Segment(Kind.LITERAL, b"admin"),)),
        ("/admin/", (Segment(Kind.LITERAL, b"admin"),)),
        ("/**", (REST,)),
        ("/a/**", (Segment(Kind.LITERAL, b"a"), REST)),
        ("/a/**/", (Segment(Kind.LITERAL, b"a"), REST)),
        ("/{id}/x", (Segment(Kind.ANY, name="id"), Segment(Kind.LITERAL, b"x"))),
        ("/{id:int}", (Segment(Kind.INT, name="id"),)),
        ("/{id:uuid}/**", (Segment(Kind.UUID, name="id"), REST)),
        ("/café au lait", (Segment(Kind.LITERAL, "café au lait".encode()),)),
        ("/caf%c3%a9", (Segment(Kind.LITERAL, "café".encode()),)),
        ("/a%2Fb", (Segment(Kind.LITERAL, b"a/b"),)),
    ],
)
def test_a_template_is_read_into_segments(template: str, segments: tuple[Segment, ...]) -> None:
    assert parse(template) == segments


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("admin", 'a path starts with "/"; write "/admin"'),
        ("/a/**/b", '"**" stands for everything below and must come last'),
        ("/a/*", 'write "{name}" for one segment or a last "/**" for everything below; "*" alone means nothing'),
        ("/a*", 'write "{name}" for one segment or a last "/**" for everything below; "*" alone means nothing'),
        ("/file-{id}", 'a parameter fills its whole segment, like /{id}/; not "file-{id}"'),
        ("/{}", 'a parameter fills its whole segment, like /{id}/; not "{}"'),
        ("/{id:guid}", 'no such type of parameter: "guid"; there is {id}, {id:int} and {id:uuid}'),
        ("/{id}/{id}", "{id} is there twice; every parameter needs its own name"),
        ("/a//b", 'two slashes in a row are refused in every request, so "//" could never match'),
        ("/a/../b", '"." and ".." are refused in every request, so they could never match'),
        ("/%2e%2e/b", '"." and ".." are refused in every request, so they could never match'),
        ("/a;b", '";" is refused in every request, so it could never match'),
        ("/a\\b", "a backslash is refused in every request, so it could never match"),
        ("/a?b=1", 'the query is never part of a match; remove "?" and what follows'),
        ("/a#b", '"#" never reaches a server; remove it and what follows'),
        ("/a%4", '"%" must be followed by two hexadecimal digits'),
        ("/%ff", "the escapes are not UTF-8"),
        ("/%252f", "a double encoding is refused in every request, so it could never match"),
        ("/a\nb", "control characters are refused in every request, so they could never match"),
    ],
)
def test_a_template_that_could_not_match_is_refused_with_a_reason(template: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        parse(template)


def test_templates_have_the_same_shape_when_only_names_and_spellings_differ() -> None:
    assert shape(parse("/%61/{x}/")) == shape(parse("/a/{y}"))
    assert shape(parse("/a/{x:int}")) != shape(parse("/a/{x}"))


def test_segments_of_a_path_are_decoded_after_they_were_split() -> None:
    assert segments_of(b"/") == []
    assert segments_of(b"/a/b/") == [b"a", b"b"]
    assert segments_of(b"/a%2Fb/%C3%A9") == [b"a/b", "é".encode()]
