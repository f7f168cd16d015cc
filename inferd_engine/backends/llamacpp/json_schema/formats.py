r"""The formats of JSON Schema, each as a pattern: what has the format, if not all that has it.

JSON Schema 2020-12 Validation, section 7.3.  A host's name stays short of the limits of RFC 1123,
so that none can be too long; years begin with 0001, and no minute has 61 seconds, because what
reads them often knows no others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from inferd_engine.backends.llamacpp.json_schema.patterns import language_of

if TYPE_CHECKING:
    from inferd_engine.backends.llamacpp.json_schema.languages import Language

_YEAR = r"(000[1-9]|00[1-9]\d|0[1-9]\d\d|[1-9]\d{3})"
_LEAP = r"((\d\d(0[48]|[2468][048]|[13579][26]))|(0[48]|[2468][048]|[13579][26])00)"
_MONTH = r"(0[13578]|1[02])-(0[1-9]|[12]\d|3[01])|(0[469]|11)-(0[1-9]|[12]\d|30)"
_DAY = rf"({_MONTH}|02-(0[1-9]|1\d|2[0-8]))"
_DATE = rf"({_YEAR}-{_DAY}|{_LEAP}-02-29)"
_HOURS = r"([01]\d|2[0-3]):[0-5]\d"
_TIME = rf"{_HOURS}:[0-5]\d(\.\d{{1,6}})?(Z|[+-]{_HOURS})"
_OF_TIME = r"T(\d{1,4}H(\d{1,4}M(\d{1,4}S)?)?|\d{1,4}M(\d{1,4}S)?|\d{1,4}S)"
_OF_DATE = r"(\d{1,4}Y(\d{1,4}M(\d{1,4}D)?)?|\d{1,4}M(\d{1,4}D)?|\d{1,4}D)"
_BYTE = r"(25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IPV4 = rf"({_BYTE}\.){{3}}{_BYTE}"
_GROUP = "[0-9a-fA-F]{1,4}"
_IPV6 = "|".join(
    (
        f"({_GROUP}:){{7}}{_GROUP}",
        f"({_GROUP}:){{1,7}}:",
        *(f"({_GROUP}:){{1,{7 - n}}}(:{_GROUP}){{1,{n}}}" for n in range(1, 7)),
        f":((:{_GROUP}){{1,7}}|:)",
    )
)
_LABEL = "[0-9a-zA-Z]([0-9a-zA-Z]|-[0-9a-zA-Z]){0,18}"
_HOST = rf"{_LABEL}(\.{_LABEL}){{0,4}}"
_ATOM = "[0-9A-Za-z!#$%&'*+/=?^_`{|}~-]{1,20}"
_EMAIL = rf"{_ATOM}(\.{_ATOM}){{0,2}}@{_HOST}"
_LETTER = r"([0-9A-Za-z._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_QUERY = rf"(\?({_LETTER}|[/?])*)?(#({_LETTER}|[/?])*)?"
_NAME = "[0-9A-Za-z]+([.-][0-9A-Za-z]+)*"
_URI = (
    r"[A-Za-z][0-9A-Za-z+.-]*:"
    rf"(//{_NAME}(:\d{{1,4}})?(/{_LETTER}*)*|{_LETTER}+(/{_LETTER}*)*){_QUERY}"
)
_REFERENCE = rf"{_URI}|(/{_LETTER}+)+{_QUERY}"
_POINTER = r"(/([^~/]|~[01])*)*"

_PATTERNS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": f"{_DATE}T{_TIME}",
    "duration": rf"P(\d{{1,4}}W|{_OF_DATE}({_OF_TIME})?|{_OF_TIME})",
    "email": _EMAIL,
    "idn-email": _EMAIL,
    "hostname": _HOST,
    "idn-hostname": _HOST,
    "ipv4": _IPV4,
    "ipv6": _IPV6,
    "uri": _URI,
    "iri": _URI,
    "uri-template": _URI,
    "uri-reference": _REFERENCE,
    "iri-reference": _REFERENCE,
    "uuid": r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "json-pointer": _POINTER,
    "relative-json-pointer": rf"(0|[1-9]\d{{0,3}})(#|{_POINTER})",
}
FORMATS = frozenset(_PATTERNS)
"""The formats that are held to."""
NOT_REGULAR = frozenset({"regex"})
"""Those of JSON Schema's own that are not; any other is a program's own, and says nothing here."""


def format_language(name: str) -> Language:
    """Return the language of one of ``FORMATS``."""
    return language_of(f"^({_PATTERNS[name]})$")
