"""What the shop has on offer, whoever serves it."""

PAGE = b"a page that seldom changes\n" * 40
LINES = [b"%06d: a line of an answer whose length nobody knows beforehand\n" % number for number in range(2000)]
LOCATION = "https://elsewhere.example/a%20b?x=1&y=%2F#part"
COOKIES = (
    "b=2; Path=/; HttpOnly",
    "a=1, with a comma; Expires=Wed, 21 Oct 2099 07:28:00 GMT",
    "b=3; Path=/nginx",
)
