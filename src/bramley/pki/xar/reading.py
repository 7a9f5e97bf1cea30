"""Reading the table of contents of a xar archive, from strangers, strictly.

Built on expat with its own handlers: nothing of a table is kept that breaks a rule, and each rule is checked as the octets go
by. What is unknown is passed over, but not what might point into the heap: signing would leave it pointing at something else.
"""

from __future__ import annotations

from binascii import a2b_base64
from typing import Final
from xml.parsers import expat

from bramley.pki.xar import pieces
from bramley.pki.xar.errors import BadXar
from bramley.pki.xar.pieces import File, Piece
from bramley.pki.xar.table import Table

MOST_ELEMENTS: Final = 250_000
MOST_CERTIFICATES: Final = 16
DEEPEST: Final = 64

_TOC: Final = ["xar", "toc"]
_SEALS: Final = ("checksum", "signature", "x-signature")
_STALE: Final = "signature-creation-time"
_PIECES: Final = ("data", "ea")
_TEXTS: Final = ("offset", "size", "length", "archived-checksum")
_CERTIFICATE: Final = ["KeyInfo", "X509Data", "X509Certificate"]


def parse(xml: bytes) -> Table:
    """The table of contents that this XML (UTF-8) is.

    Raises BadXar for anything else: not well-formed, a DTD, processing instructions, more than MOST_ELEMENTS elements or nested
    deeper than DEEPEST, paths longer than those of macOS, no checksum, anything twice that there is one of, numbers or checksums
    that are none, files without a checksum of their bytes, and offsets whose meaning is not known.
    """
    if b"\0" in xml:
        raise BadXar("Expected a table of contents in UTF-8; one in another encoding came.")
    return _Reader(xml).read()


class _Reader:
    """The table so far: the open elements by name, and the innermost file and piece among them.

    expat tells where an event begins. So an element's end, and where its content begins, is where the next event does:
    `_pending` waits for it. `_text` gathers the text of the innermost element, where that is wanted.
    """

    def __init__(self, xml: bytes) -> None:
        self._xml = xml
        self._parser = expat.ParserCreate("utf-8")
        self._path: list[str] = []
        self._count = 0
        self._pending: list[int] | None = None
        self._text: list[str] | None = None
        self._file: File | None = None
        self._piece: Piece | None = None
        self._inside: list[int] = []
        self._stale: list[list[int]] = []
        self._seals: dict[str, Piece] = {}
        self._files: list[File] = []
        self._chunks: list[Piece] = []

    def read(self) -> Table:
        parser = self._parser
        parser.buffer_text = False  # the place of a text would be that of the event after it
        parser.XmlDeclHandler = _declaration
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.CommentHandler = self._comment
        parser.StartCdataSectionHandler = self._arrive
        parser.StartDoctypeDeclHandler = _document_type
        parser.ProcessingInstructionHandler = _instruction
        try:
            parser.Parse(self._xml, True)
        except expat.ExpatError as error:
            raise BadXar(f"Expected a table of contents in XML; it is not well-formed ({error}).") from None
        return self._table()

    def _table(self) -> Table:
        if "checksum" not in self._seals:
            raise BadXar("Expected a table of contents with a checksum; it has none.")
        if len({(id(file.parent), file.name) for file in self._files}) != len(self._files):
            raise BadXar("Expected every file of an archive once; one comes twice.")
        seals = {tag: pieces.seal(piece) for tag, piece in self._seals.items()}
        return Table(
            xml=self._xml,
            inside=self._inside[0],
            checksum=seals["checksum"],
            rsa=seals.get("signature"),
            cms=seals.get("x-signature"),
            stale=tuple([pieces.span(place) for place in self._stale]),
            files=len(self._files),
            names=frozenset([file.name for file in self._files if file.parent is None]),
            chunks=tuple([pieces.chunk(piece) for piece in self._chunks]),
        )

    def _arrive(self) -> int:
        """Where the event at hand begins, told to what waits for it too."""
        here = self._parser.CurrentByteIndex
        if self._pending is not None:
            self._pending.append(here)
            self._pending = None
        return here

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        here = self._arrive()
        self._count += 1
        if self._count > MOST_ELEMENTS or len(self._path) >= DEEPEST:
            raise BadXar(f"Expected at most {MOST_ELEMENTS} elements, nested {DEEPEST} deep; the table of contents has more.")
        if self._text is not None:
            raise BadXar(f"Expected text in <{pieces.shown(self._path[-1])}>; <{pieces.shown(tag)}> came.")
        self._path.append(tag)
        depth = len(self._path)
        if depth <= 2:
            self._start_outside(tag, depth)
        elif self._piece is not None:
            self._start_in_piece(self._piece, tag, attributes)
        elif self._file is not None and self._file.depth == depth - 1:
            self._start_in_file(self._file, tag)
        elif self._path[:2] == _TOC and depth == 3:
            self._start_in_table(tag, attributes, here)
        else:
            _require_no_offset(tag, self._path)

    def _start_outside(self, tag: str, depth: int) -> None:
        if depth == 1 and tag != "xar":
            raise BadXar(f"Expected <xar> as the outermost element; <{pieces.shown(tag)}> came.")
        if self._path == _TOC:
            if self._inside:
                raise BadXar("Expected one table of contents; another came.")
            self._pending = self._inside

    def _start_in_table(self, tag: str, attributes: dict[str, str], here: int) -> None:
        if tag in _SEALS:
            if tag in self._seals:
                raise BadXar(f"Expected one <{tag}> in a table of contents; another came.")
            self._piece = self._seals[tag] = Piece(tag, len(self._path), style=attributes.get("style", ""), at=[here])
        elif tag == "file":
            self._open_file(None)
        elif tag == _STALE:
            self._stale.append([here])
        else:
            _require_no_offset(tag, self._path)

    def _start_in_file(self, file: File, tag: str) -> None:
        if tag == "file":
            self._open_file(file)
        elif tag == "name":
            self._text = []
        elif tag in _PIECES:
            if tag == "data" and file.has_data:
                raise BadXar("Expected one <data> in a <file>; another came.")
            file.has_data = file.has_data or tag == "data"
            self._piece = Piece(tag, len(self._path), file)
        else:
            _require_no_offset(tag, self._path)

    def _open_file(self, parent: File | None) -> None:
        self._file = File(parent, len(self._path))
        self._files.append(self._file)

    def _start_in_piece(self, piece: Piece, tag: str, attributes: dict[str, str]) -> None:
        inner = self._path[piece.depth :]
        if inner == [tag] and tag in _TEXTS:
            if tag in piece.texts:
                raise BadXar(f"Expected one <{tag}> in <{piece.tag}>; another came.")
            piece.texts[tag] = ""
            self._text = []
            if tag == "offset":
                self._pending = piece.offset_at
            elif tag == "archived-checksum":
                piece.digest = attributes.get("style", "").lower()
        elif inner == _CERTIFICATE:
            self._text = []
        else:
            _require_no_offset(tag, self._path)

    def _end(self, tag: str) -> None:
        here, depth, piece, file = self._arrive(), len(self._path), self._piece, self._file
        self._path.pop()
        if self._text is not None:
            self._take(tag, "".join(self._text), here)
            self._text = None
        elif piece is not None and piece.depth == depth:
            self._close_piece(piece)
        elif file is not None and file.depth == depth:
            self._file = file.parent
        elif self._stale and depth == 3 and tag == _STALE and self._path == _TOC:
            self._pending = self._stale[-1]

    def _close_piece(self, piece: Piece) -> None:
        self._piece = None
        if piece.file is None:
            self._pending = piece.at
        elif piece.texts:
            self._chunks.append(piece)

    def _take(self, tag: str, text: str, here: int) -> None:
        piece = self._piece
        if piece is None:
            assert self._file is not None
            self._file.name = text  # the last counts: Apple's tools have written several
        elif tag == _CERTIFICATE[-1]:
            if len(piece.certificates) >= MOST_CERTIFICATES:
                raise BadXar(f"Expected at most {MOST_CERTIFICATES} certificates with a signature; more came.")
            try:
                piece.certificates.append(a2b_base64("".join(text.split()), strict_mode=True))
            except ValueError:
                raise BadXar("Expected certificates in base64 with a signature; what came is not.") from None
        else:
            piece.texts[tag] = text
            if tag == "offset":
                piece.offset_at.append(here)

    def _characters(self, text: str) -> None:
        self._arrive()
        if self._text is not None:
            self._text.append(text)

    def _comment(self, _: str) -> None:
        self._arrive()


def _require_no_offset(tag: str, path: list[str]) -> None:
    if tag == "offset":
        raise BadXar(
            f"Expected offsets of data, attributes and signatures alone; <{pieces.shown(path[-2])}> has one.",
            advice="Bramley cannot tell what it points at, and would break it.",
        )


def _declaration(_version: str, encoding: str | None, _standalone: int) -> None:
    if encoding is not None and encoding.upper() not in ("UTF-8", "US-ASCII"):
        raise BadXar(f"Expected a table of contents in UTF-8; it says that it is in {pieces.shown(encoding)}.")


def _document_type(*_: object) -> None:
    raise BadXar("Expected a table of contents without a document type or entities of its own; there are some.")


def _instruction(_target: str, _data: str) -> None:
    raise BadXar("Expected elements alone in a table of contents; a processing instruction came.")
