"""What HubSpot answers, from octets to JSON, with a limit on everything (RELIABILITY C61, F20).

Decoding is our own: a library that unpacks a whole network read at once makes 64 MB of 64 kB, and again for each
further encoding that the answer claims to have.
"""

import asyncio
import codecs
import json
import zlib
from typing import Any, Final

import httpx

__all__ = ["MOST_OCTETS", "GarbageAnswer", "parse", "read_body"]

MOST_OCTETS: Final = 8 * 1024 * 1024
"""Of one answer, unpacked. The largest honest one, 100 objects with history, stays below 2 MB."""

_DEEPEST: Final = 64
"""Levels of nesting; an honest answer has six."""

_MOST_VALUES: Final = 250_000
"""Values in one answer, about: commas in texts count too. Millions of empty lists stop the collector for seconds."""

_PARSED_HERE: Final = 128 * 1024
"""Octets that are parsed on the event loop (1-2 ms); more goes to a thread."""

_STEP: Final = 512 * 1024
_SURROGATE_ESCAPES = ("\\ud", "\\uD")


class GarbageAnswer(Exception):  # noqa: N818  what it is, not whose mistake
    """An answer that cannot be used; the text says why and holds nothing of the answer."""


async def read_body(response: httpx.Response) -> bytes:
    """The octets of a streamed answer, unpacked. The connection is no longer usable after an error.

    Raises:
        GarbageAnswer: Over `MOST_OCTETS`, an encoding that we did not ask for, or broken packing.
    """
    encoding = response.headers.get("content-encoding", "identity").strip().casefold()
    if encoding not in {"", "identity", "gzip"}:
        raise GarbageAnswer("packed in a way nobody asked for")
    unpacked = bytearray()
    packing = zlib.decompressobj(zlib.MAX_WBITS | 16) if encoding == "gzip" else None
    async for octets in response.aiter_raw():
        if packing is None:
            unpacked += octets
        else:
            await _unpack(packing, octets, unpacked)
        if len(unpacked) > MOST_OCTETS:
            raise GarbageAnswer(f"too large, over {MOST_OCTETS // 1024 // 1024} MiB")
    if packing is not None and not packing.eof:
        raise GarbageAnswer("cut off inside its packing")
    return bytes(unpacked)


async def _unpack(packing: "zlib._Decompress", octets: bytes, unpacked: bytearray) -> None:
    """Append what the octets hold, in steps that the event loop does not feel, up to just over the limit."""
    while octets and not packing.eof and len(unpacked) <= MOST_OCTETS:
        try:
            unpacked += packing.decompress(octets, _STEP)
        except zlib.error:
            raise GarbageAnswer("broken packing") from None
        octets = packing.unconsumed_tail
        if octets:
            await asyncio.sleep(0)


async def parse(octets: bytes) -> dict[str, Any]:
    """The JSON object that an answer is.

    Raises:
        GarbageAnswer: Not UTF-8, no JSON (a page of HTML, cut off), too many values, nested too deeply, or no object.
    """
    if len(octets) > _PARSED_HERE and sum(map(octets.count, (b",", b"[", b"{"))) > _MOST_VALUES:
        raise GarbageAnswer("too many values")
    try:
        body = _parse(octets) if len(octets) <= _PARSED_HERE else await asyncio.to_thread(_parse_apart, octets)
    except RecursionError:
        raise GarbageAnswer("nested too deeply") from None
    except ValueError as exc:  # UnicodeDecodeError and JSONDecodeError are ones; their objects hold the answer
        raise GarbageAnswer("not UTF-8" if isinstance(exc, UnicodeDecodeError) else "no JSON") from None
    if not isinstance(body, dict):
        raise GarbageAnswer("JSON, but no object")
    return body


def _no_number(_name: str) -> None:
    """NaN and Infinity are no JSON, and no value of ours."""


def _text(octets: bytes) -> str:
    return octets.removeprefix(codecs.BOM_UTF8).decode("utf-8")


def _parse(octets: bytes) -> Any:
    text = _text(octets)
    return _checked(text, json.loads(text, parse_constant=_no_number))


def _parse_apart(octets: bytes) -> Any:
    """The same in a thread.

    The parser in C holds the interpreter's lock from beginning to end, thread or not; hooks in Python are where the
    event loop gets its turn.
    """
    text = _text(octets)
    body = json.loads(
        text,
        object_pairs_hook=lambda pairs: dict(pairs),  # noqa: PLW0108  `dict` itself would be called from C
        parse_int=lambda digits: int(digits),  # noqa: PLW0108  same
        parse_float=lambda digits: float(digits),  # noqa: PLW0108  same
        parse_constant=_no_number,
    )
    return _checked(text, body)


def _checked(text: str, body: Any) -> Any:
    layer = [body]
    for _ in range(_DEEPEST):
        layer = [
            inner
            for node in layer
            if isinstance(node, dict | list)
            for inner in (node.values() if isinstance(node, dict) else node)
            if isinstance(inner, dict | list)
        ]
        if not layer:
            has_surrogates = any(escape in text for escape in _SURROGATE_ESCAPES)
            return _without_surrogates(body) if has_surrogates else body
    raise GarbageAnswer("nested too deeply")


def _without_surrogates(value: Any) -> Any:
    r"""Half a character (``"\ud83d"``) becomes U+FFFD: no database, log or mail can hold it."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_surrogates(inner) for inner in value]
    if isinstance(value, dict):
        return {_without_surrogates(name): _without_surrogates(inner) for name, inner in value.items()}
    return value
