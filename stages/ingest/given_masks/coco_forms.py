"""The name of a picture in ever looser forms: what systems and annotation tools make of one and the same name."""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property
from urllib.parse import unquote

FORMS = (
    "the path of its address",
    "accents composed otherwise",
    "URL-encoding",
    "upper and lower case",
    "another suffix",
    "a tool's prefix",
)
"""How the forms of a name differ from the name as it is; each has all before it."""

_SUFFIX = re.compile(r"\.(?:jpe?g|jfif|png|webp|bmp|tiff?|gif|heic|heif|avif)$")
_PREFIX = re.compile(r"(?!(?:19|20)\d{6}-)[0-9a-f]{8}-(?=[^/]*$)")
"""Label Studio's before the base name. Eight digits that are a date are none."""

_ADDRESS = re.compile(r"\w[\w+.-]*://[^/]*/([^?#]*).*|.*\?d=(.+)")
"""`https://host/path?query`, and Label Studio's `/data/local-files/?d=path`."""


class Name:
    """A path, and its ever looser forms. of_tool: whether a tool may have put something before it."""

    def __init__(self, path: str, of_tool: bool) -> None:
        self.raw, self.clean = path, clean_path(path)
        self._of_tool = of_tool

    @cached_property
    def forms(self) -> list[list[str]]:
        """The parts of the path in each of `FORMS`."""
        address = _ADDRESS.fullmatch(self.raw) if self._of_tool else None
        plain = clean_path(address[1] or address[2]) if address else self.clean
        decoded = unicodedata.normalize("NFC", unquote(plain))
        folded = unicodedata.normalize("NFC", decoded.casefold())
        stem = _SUFFIX.sub("", folded)
        bare = _PREFIX.sub("", stem) if self._of_tool else stem
        found = (plain, unicodedata.normalize("NFC", plain), decoded, folded, stem, bare)
        return [form.split("/") for form in found]


def clean_path(name: str) -> str:
    """The path with `/` between its parts, without `./` and a leading `/`."""
    return "/".join(part for part in name.replace("\\", "/").split("/") if part not in ("", "."))


def whole_path(name: Name, form: int) -> str:
    """All of it in one of its forms."""
    return "/".join(name.forms[form])


def end_of_path(name: Name, form: int, parts: int) -> str | None:
    """Its last so many parts; None when it has fewer."""
    return "/".join(name.forms[form][-parts:]) if len(name.forms[form]) >= parts else None
