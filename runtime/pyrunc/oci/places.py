"""On which lines of a JSON document each of its values stands, by JSON pointer (RFC 6901)."""

from __future__ import annotations

from pyrunc import jsonio

BLANK = " \t\n\r"
ENDS = BLANK + ",]}"


class _Reader:
    """Goes through TEXT, which is a valid document, and notes where things are."""

    def __init__(self, text: str) -> None:
        """Begin at the first line."""
        self.text, self.at, self.line = text, 0, 1
        self.found: dict[str, tuple[int, int]] = {}

    def blank(self) -> None:
        """Skip what is between tokens."""
        while self.text[self.at : self.at + 1] and self.text[self.at] in BLANK + ",:":
            self.line += self.text[self.at] == "\n"
            self.at += 1

    def word(self) -> str:
        """Skip a string, a number or a name, and return it as it stands."""
        start, text = self.at, self.text
        self.at += 1
        if text[start] == '"':
            while text[self.at] != '"':
                self.at += 2 if text[self.at] == "\\" else 1
            self.at += 1
        else:
            while self.at < len(text) and text[self.at] not in ENDS:
                self.at += 1
        return text[start : self.at]

    def value(self, pointer: str, first: int) -> None:
        """Note the value at POINTER, and those in it; FIRST is the line of its key, if it has one."""
        opening = self.text[self.at]
        if opening not in "{[":
            self.word()
        else:
            self.at += 1
            self.blank()
            number = 0
            while self.text[self.at] not in "}]":
                line, name = self.line, str(number)
                if opening == "{":
                    name = str(jsonio.loads(self.word()))
                    self.blank()
                self.value(f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}", line)
                number += 1
                self.blank()
            self.at += 1
        self.found[pointer] = (first, self.line)


def of(text: str) -> dict[str, tuple[int, int]]:
    """Return the first and the last line, from 1 on, of each value of JSON document TEXT by its pointer; "" is the whole.

    A member of an object begins where its name does. TEXT has been parsed before: it is valid, and not too deep.
    """
    reader = _Reader(text.removeprefix(jsonio.BYTE_ORDER_MARK))
    reader.blank()
    reader.value("", reader.line)
    return reader.found
