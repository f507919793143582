"""Pages on disk, parsed without a browser."""

import json
from html.parser import HTMLParser


class Parsed(HTMLParser):
    """Tags with their attributes, the text of every script, the style and the title, as an HTML parser reads them."""

    def __init__(self, data):
        super().__init__(convert_charrefs=True)
        self.tags, self.scripts, self.text = [], [], {"style": "", "title": ""}
        self.feed(data)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "script":
            self.scripts.append([dict(attributes), ""])

    def handle_data(self, data):
        if self.lasttag == "script" and self.scripts:
            self.scripts[-1][1] += data
        elif self.lasttag in self.text:
            self.text[self.lasttag] += data

    def handle_endtag(self, tag):
        self.lasttag = ""


def parsed(folder):
    return Parsed((folder / "index.html").read_bytes().decode("utf-8"))


def data_of(folder):
    return {
        a["id"]: json.loads(text) for a, text in parsed(folder).scripts if a["type"] == "application/json"
    }


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
