"""What every page must be: well-formed, without scripts, and without anything from elsewhere."""

import re
from html.parser import HTMLParser

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>&'
VOID = {"meta", "link", "line", "path", "rect", "circle", "img", "br"}


class Balance(HTMLParser):
    """Tags that are not closed, and every tag and address seen."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.addresses, self.text = [], set(), [], ""

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert tag in VOID or self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def read_page(path):
    """What a page that passes holds: its `text`, `tags` and `addresses`; pictures may lie in the page itself."""
    page, parsed = path.read_text(encoding="utf-8"), Balance()
    parsed.feed(page)
    assert parsed.open == [] and "script" not in parsed.tags
    assert all(address.startswith("data:") for address in parsed.addresses)
    assert not re.search(r"https?:|@import|url\(", page)
    return parsed
