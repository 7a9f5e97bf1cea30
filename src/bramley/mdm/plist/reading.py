"""Reading XML property lists from strangers, strictly (Apple's plist(5) and PropertyList-1.0.dtd).

Built on expat with its own handlers rather than on a tree: every rule is checked as the bytes go by, nothing is kept of a
document that breaks one, and no name that a stranger invents outlives the call (libxml2 keeps each one for good).
Binary property lists are refused: they may be cyclic or exponentially shared.
"""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Final
from xml.parsers import expat

from bramley.mdm.errors import BadMessage
from bramley.mdm.plist.values import INTEGERS, MAX_DEPTH, PlistValue

MAX_VALUES: Final = 1 << 18
"""Elements in one document: far above what a device reports, far below what hurts."""

_Container = list[PlistValue] | dict[str, PlistValue]
_LONGEST_NUMBER: Final = 64


def loads(data: bytes, *, max_bytes: int, max_depth: int = MAX_DEPTH) -> PlistValue:
    """The value of an XML property list in UTF-8.

    Raises BadMessage for anything else, and for more than `max_bytes` bytes, containers nested deeper than `max_depth`,
    more than MAX_VALUES elements, an internal DTD subset (so no entity is ever declared), processing instructions, unknown
    elements or attributes, several roots, text between elements, repeated keys, and numbers, dates or base64 that are not
    exactly that.
    """
    if len(data) > max_bytes:
        raise BadMessage(f"Expected a property list of at most {max_bytes} bytes; {len(data)} came.")
    if b"\0" in data:
        # expat takes UTF-16 whatever encoding it is told to expect; no XML in UTF-8 has a NUL
        raise BadMessage("Expected an XML property list in UTF-8; a binary one, or one in another encoding, came.")
    reader = _Reader(max_depth)
    parser = expat.ParserCreate("utf-8")
    parser.XmlDeclHandler = _declared
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.characters
    parser.StartDoctypeDeclHandler = _doctype
    parser.SkippedEntityHandler = _entity
    parser.ProcessingInstructionHandler = _instruction
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise BadMessage(f"Expected an XML property list in UTF-8; what came is not well-formed ({error}).") from None
    if not reader.root:
        raise BadMessage("Expected one value in a property list; none came.")
    return reader.root[0]


def _declared(_version: str, encoding: str | None, _standalone: int) -> None:
    """An encoding that is declared has to be the one that is read: other readers go by the declaration."""
    if encoding is not None and encoding.lower() not in ("utf-8", "us-ascii"):
        raise BadMessage("Expected an XML property list in UTF-8; its declaration names another encoding.")


class _Reader:
    """The document so far. `top` is the innermost open container, `key` the key that waits for its value there."""

    __slots__ = ("count", "depth_left", "key", "outer", "root", "scalar", "text", "top")

    def __init__(self, max_depth: int) -> None:
        self.root: list[PlistValue] = []
        self.top: _Container | None = None
        self.key: str | None = None
        self.outer: list[tuple[_Container | None, str | None]] = []
        self.scalar: str | None = None
        self.text: list[str] = []
        self.count = 0
        self.depth_left = max_depth + 2  # <plist>, and the outermost container, which is at depth 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.count += 1
        if self.count > MAX_VALUES:
            raise BadMessage(f"Expected a property list of at most {MAX_VALUES} elements; more came.")
        if attributes:
            _check_attributes(tag, attributes)
        if self.scalar is not None:
            raise BadMessage(f"Expected text in <{self.scalar}>; an element <{_shown(tag)}> came.")
        if self.top is None:
            if tag != "plist":
                raise BadMessage(f"Expected <plist> as the outermost element; <{_shown(tag)}> came.")
            self._enter(self.root)
        elif tag in _SCALARS:
            self.scalar = tag
            self.text.clear()
        elif tag == "dict":
            self._open({})
        elif tag == "array":
            self._open([])
        else:
            raise BadMessage(f"Expected the elements of a property list; <{_shown(tag)}> came.")

    def characters(self, text: str) -> None:
        if self.scalar is not None:
            self.text.append(text)
        elif not text.isspace():
            raise BadMessage("Expected nothing but white space between elements; text came.")

    def end(self, tag: str) -> None:
        if self.scalar is None:
            self._close()
            return
        self.scalar = None
        text = self.text[0] if len(self.text) == 1 else "".join(self.text)
        if tag == "key":
            self._name(text)
        elif tag == "string":
            self._add(text)
        else:
            try:
                value = _SCALARS[tag](text)
            except ValueError:
                raise BadMessage(f"Expected a value in <{tag}>; what came cannot be read as one.") from None
            self._add(value)

    def _name(self, key: str) -> None:
        if type(self.top) is not dict:
            raise BadMessage("Expected keys in dictionaries only; one came elsewhere.")
        if self.key is not None:
            raise BadMessage("Expected a value after every key; another key came.")
        if key in self.top:
            raise BadMessage(f"Expected every key once in a dictionary; {_shown(key)} came again.")
        self.key = key

    def _add(self, value: PlistValue) -> None:
        top = self.top
        if type(top) is dict:
            if self.key is None:
                raise BadMessage("Expected a key before every value of a dictionary; a value came without one.")
            top[self.key] = value
            self.key = None
        else:
            assert type(top) is list
            if top is self.root and top:
                raise BadMessage("Expected one value in a property list; several came.")
            top.append(value)

    def _open(self, container: _Container) -> None:
        self._add(container)
        self._enter(container)

    def _enter(self, container: _Container) -> None:
        self.depth_left -= 1
        if self.depth_left < 0:
            raise BadMessage("Expected a property list that is less deeply nested.")
        self.outer.append((self.top, self.key))
        self.top, self.key = container, None

    def _close(self) -> None:
        if self.key is not None:
            raise BadMessage("Expected a value after every key; the last key of a dictionary has none.")
        self.depth_left += 1
        self.top, self.key = self.outer.pop()


def _check_attributes(tag: str, attributes: dict[str, str]) -> None:
    if tag != "plist" or attributes.keys() != {"version"}:
        raise BadMessage(f"Expected no attributes in a property list; <{_shown(tag)}> has some.")


def _doctype(name: str, system_id: str | None, public_id: str | None, has_internal_subset: bool) -> None:
    if has_internal_subset:
        raise BadMessage("Expected a DOCTYPE without declarations of its own; an internal subset came.")


def _entity(name: str, is_parameter_entity: bool) -> None:
    raise BadMessage("Expected only the entities that XML itself defines; another one came.")


def _instruction(target: str, data: str) -> None:
    raise BadMessage("Expected elements alone in a property list; a processing instruction came.")


def _string(text: str) -> str:
    return text


def _integer(text: str) -> int:
    digits = text.strip()
    unsigned = digits[1:] if digits[:1] in ("-", "+") else digits
    if not unsigned.isascii() or not unsigned.isalnum() or len(unsigned) > _LONGEST_NUMBER:
        raise ValueError
    value = int(digits, 16) if unsigned[:2] in ("0x", "0X") else int(digits)
    if value not in INTEGERS:
        raise ValueError
    return value


def _real(text: str) -> float:
    if "_" in text or len(text) > _LONGEST_NUMBER:
        raise ValueError
    return float(text)


def _date(text: str) -> datetime:
    # `fromisoformat` takes more forms than the DTD's one, YYYY-MM-DDTHH:MM:SSZ
    if len(text) != 20 or not text.isascii() or text[4] != "-" or text[7] != "-" or text[10] != "T" or text[19] != "Z":
        raise ValueError
    if text[13] != ":" or text[16] != ":":
        raise ValueError
    return datetime.fromisoformat(text)


def _data(text: str) -> bytes:
    return a2b_base64("".join(text.split()), strict_mode=True)


def _empty(value: bool) -> Callable[[str], bool]:
    def read(text: str) -> bool:
        if text and not text.isspace():
            raise ValueError
        return value

    return read


_SCALARS: Final[Mapping[str, Callable[[str], PlistValue]]] = {
    "key": _string,
    "string": _string,
    "integer": _integer,
    "real": _real,
    "date": _date,
    "data": _data,
    "true": _empty(True),
    "false": _empty(False),
}


def _shown(text: str) -> str:
    return repr(text[:40])[1:-1]
