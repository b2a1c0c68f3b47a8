"""Find what a server said in text that went through many hands.

Source: RFC 5321 4.2.1 (continuation lines), RFC 2034 4 (enhanced codes in replies), RFC 2045 6.7 (soft line breaks);
the frames are those of Exchange, Postfix, nodemailer, PHPMailer, .NET, Java and Python as seen in the field.
Shape: `statements` cuts a text into `Statement` values: reply code, enhanced code, sentence. Frames, line wraps, host
suffixes and Microsoft's diagnostic dump are left out.
Failures: none. Text without any code is one statement without codes. Work is linear in the length of the text.
Leaves to others: what a statement means (``microsoft.replies``).
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_CHARACTERS = 32_768
"""Of one text; the rest is not read."""
MAX_STATEMENTS = 200
_DUMP_BEGINS, _DUMP_ENDS = "[begindiagnosticdata]", "[enddiagnosticdata]"

_CODE = r"[245]\d\d"
_ENHANCED = r"[245]\.\d{1,3}\.\d{1,3}(?!\d|\.\d)"
_HEAD = re.compile(
    rf"(?<![\w.])({_CODE})[\s,;:#'\"b(=-]{{1,5}}({_ENHANCED})"
    rf"|(?<![\w.])({_ENHANCED})"
    rf"|(?:^|[:;'\"#<>(=,|\]]\s?|said |returned |code )({_CODE})(?=[ -])(?![ -]{{1,3}}{_ENHANCED})",
    re.IGNORECASE,
)
_CONTINUED = re.compile(rf"^([^\d\n]{{0,40}})({_CODE})([- ])(?:({_ENHANCED})[ ]?)?")
_SUFFIX = re.compile(r"(?:\[(?!Message=)[^\[\]]{0,200}\]|\(in reply to [^()]{0,80}\)|#SMTP#|[\s'\"<>#,:;)\]}.])+\Z")
_FRAME = re.compile(r"\s*(?:at [\w.$<>]{1,200} ?\(|msmtp: could not send)")
_MARKUP = re.compile(r"</?(?:br|p|div|span|td|tr|b|i|strong|em|font|a)(?:[\s/][^<>]{0,300})?>", re.IGNORECASE)
_QUOTED = re.compile(r"=(3D|20|09|0A|0D|2E)")
_ESCAPES = (("\\r", " "), ("\\n", " "), ("\\t", " "), ('\\"', '"'), ("\\'", "'"), ("\\/", "/"))
_CHARACTER = re.compile(r"\\u((?![dD][89a-fA-F])[0-9a-fA-F]{4})")
_PLAIN = str.maketrans(
    {"\u00a0": " ", "\u202f": " ", "\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-"}
    | dict.fromkeys("\u200b\u200c\u200d\ufeff\u00ad")
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing that a server said.

    Attributes:
        code: Reply code, or None where the text names none.
        enhanced: Enhanced status code, or empty.
        text: The sentence, on one line, without codes and without what stands behind it in brackets.
    """

    code: int | None
    enhanced: str
    text: str

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code or ""), self.enhanced, self.text) if part)


def statements(text: str) -> tuple[Statement, ...]:
    """All statements of a text, in their order; never empty."""
    flat = flatten(text)
    found = [*_told_apart(flat), *_cut(flat)]
    return tuple(found) or (Statement(None, "", _trim(flat)),)


def flatten(text: str) -> str:
    """The text on one line, without encodings of its frame and without diagnostic dumps."""
    text = text[:MAX_CHARACTERS]
    if "=\n" in text or "=\r\n" in text or "=3D" in text or "=20" in text:
        text = text.replace("=\r\n", "").replace("=\n", "")
        text = _QUOTED.sub(lambda found: chr(int(found[1], 16)), text)
    if "&" in text:
        text = html.unescape(text)
    if "<" in text:
        text = _MARKUP.sub(" ", text)
    if "\\" in text:
        for escape, meant in _ESCAPES:
            text = text.replace(escape, meant)
        text = _CHARACTER.sub(lambda found: chr(int(found[1], 16)), text)
    return without_dump(" ".join(_joined(text.translate(_PLAIN)).split()))


def without_dump(text: str) -> str:
    """Leave out what stands between Microsoft's diagnostic marks; without an end mark, all that follows."""
    lowered = text.lower()
    if _DUMP_BEGINS not in lowered or len(lowered) != len(text):
        return text
    parts: list[str] = []
    position = 0
    while (begin := lowered.find(_DUMP_BEGINS, position)) >= 0:
        parts.append(text[position:begin].strip())
        end = lowered.find(_DUMP_ENDS, begin)
        if end < 0:
            return " ".join(parts)
        position = end + len(_DUMP_ENDS)
    return " ".join([*parts, text[position:].lstrip()])


def _joined(text: str) -> str:
    """Put the lines of one reply together: codes stand only before the first. Lines of a stack trace are left out."""
    if "\n" not in text:
        return text
    lines: list[str] = []
    open_code = ""
    for line in text.split("\n"):
        if _FRAME.match(line) is not None:
            continue
        match = _CONTINUED.match(line)
        if match is None:
            lines.append(line)
            continue
        if match[2] == open_code:
            lines.append(line[match.end() :])
        elif match[3] == "-":
            lines.append(f"{match[1]}{match[2]} {line[match.end(3) :]}")
        else:
            lines.append(line)
        open_code = match[2] if match[3] == "-" else ""
    return "\n".join(lines)


def _cut(text: str) -> Iterator[Statement]:
    """What stands before the first code, then one statement for each code."""
    position, code, enhanced = 0, None, ""
    for count, head in enumerate(_HEAD.finditer(text)):
        if count >= MAX_STATEMENTS:
            break
        if position or head.start():
            yield Statement(code, enhanced, _trim(text[position : head.start()]))
        found = head[1] or head[4]
        code, enhanced, position = int(found) if found else None, head[2] or head[3] or "", head.end()
    if position:
        yield Statement(code, enhanced, _trim(text[position:]))


def _told_apart(text: str) -> Iterator[Statement]:
    """PHPMailer names the sentence first and its codes behind it."""
    before, mark, behind = text.partition("SMTP code: ")
    if not mark or not behind[:3].isdigit() or behind[0] not in "245":
        return
    _, _, sentence = before[-2000:].rpartition("Detail: ")
    enhanced = ""
    _, info, rest = behind[:80].partition("Additional SMTP info: ")
    if info:
        match = re.match(_ENHANCED, rest)
        enhanced = match[0] if match else ""
    yield Statement(int(behind[:3]), enhanced, _trim(sentence))


def _trim(text: str) -> str:
    text = re.sub(r"^-\d{1,3}(?= )", "", text.partition("};{")[0])
    end = text[-600:]
    match = _SUFFIX.search(end)
    if match is not None:
        text = text[: len(text) - len(end) + match.start()]
    if text.count("(") > text.count(")"):
        text += ")"
    return text.lstrip(" \t;:,.#'\"->=|").rstrip()
