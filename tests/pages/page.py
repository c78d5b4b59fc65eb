"""Reading a page as a browser would, as far as tests need it."""

import base64
from html.parser import HTMLParser
from pathlib import Path


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def images(self) -> list[bytes]:
        addresses = [str(attributes["src"]) for tag, attributes in self.tags if tag == "img"]
        assert all(address.startswith("data:image/png;base64,") for address in addresses)
        return [base64.b64decode(address.partition(",")[2], validate=True) for address in addresses]

    def assert_alone(self) -> None:
        """It asks nothing of the network, and runs no code."""
        assert not [tag for tag, _ in self.tags if tag in ("script", "link", "iframe", "object", "embed", "form")]
        for _, attributes in self.tags:
            assert not any(name.startswith("on") for name in attributes)
            for name in ("src", "href"):
                assert not str(attributes.get(name) or "").startswith(("http", "//", "javascript"))
        (policy,) = [a["content"] for tag, a in self.tags if tag == "meta" and "http-equiv" in a]
        assert str(policy).startswith("default-src 'none'")
