"""What an answer says: JSON to values, and an answer that is no success to an error."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import msgspec

from scmkit.core import contract
from scmkit.core.errors import (
    BY_STATUS,
    RedirectError,
    ServiceError,
    ThrottledError,
    UnavailableError,
    UnreadableAnswerError,
    in_a_line,
)
from scmkit.core.secret import Token
from scmkit.core.values import AsyncAnswer, Product, SyncAnswer, Task

UNREADABLE = (ValueError, RecursionError)
_WORDS = 300  # characters of the service's own words that an error repeats
_LONGEST_ID = 1000
_MOST = 10**15  # codes: more than there are, and still a number that sums, floats and databases hold


def encode(value: object) -> bytes:
    """Return a value as JSON."""
    return msgspec.json.encode(value)


def decode(content: bytes) -> Any:
    """Return what JSON holds, or raise one of UNREADABLE."""
    try:
        return msgspec.json.decode(content)
    except msgspec.ValidationError:  # a number of thousands of digits, which is no reason not to read the rest
        return json.loads(content, parse_int=lambda digits: int(digits[:_WORDS]))


def error(status: int, headers: Mapping[str, str], content: bytes, where: str, token: Token) -> ServiceError:
    """Return the error that an answer stands for which is no success, or one that cannot be read."""
    if 300 <= status < 400 and "Location" in headers:
        content = ("to " + headers["Location"].partition("?")[0]).encode()
    content = content.replace(token.reveal().encode(), b"***")  # some error pages repeat the request
    if 200 <= status < 300:
        return UnreadableAnswerError(status, "not JSON: " + _plain(content), where=where.partition(" ")[2])
    body = _decoded(content)
    kind = BY_STATUS.get(status, RedirectError if 300 <= status < 400 else ServiceError)
    if kind is ServiceError and status >= 500:
        kind = UnavailableError
    error = kind(status, _detail(body, content), where=where, body=body)
    error.server_s = server_s(headers)
    if isinstance(error, ThrottledError | UnavailableError):
        error.retry_after_s = retry_after(headers.get("Retry-After"), error.detail)
    return error


def server_s(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds a call took on a sandbox's own clock."""
    told = re.search(r"\bsandbox;dur=(\d{1,12}(?:\.\d{1,6})?)", headers.get("Server-Timing", ""))
    return None if told is None else float(told[1]) / 1000


def retry_after(header: str | None, words: str) -> float | None:
    """Read how long to wait: the longer of the header and the seconds in the text, None when neither says."""
    said = [float(n) for n in re.findall(r"available in (\d{1,6}) second", words)]
    if header is not None and re.fullmatch(r"\s*\d{1,6}\s*", header):
        said.append(float(header))
    return min(max(said), 3600.0) if said else None


def _decoded(content: bytes) -> object:
    with suppress(*UNREADABLE):
        return decode(content)
    return None


def _detail(body: object, content: bytes) -> str:
    if isinstance(body, dict):
        detail = body.get("detail", body)
        return (detail if isinstance(detail, str) else encode(detail).decode())[:_WORDS]
    return _plain(content)


def _plain(content: bytes) -> str:
    """Return the words of an answer that is not JSON, such as a gateway's page."""
    text = content[:20_000].decode("utf-8", "replace")
    title = re.search(r"<title>([^<]*)</title>", text, re.IGNORECASE)
    words = title[1] if title else re.sub(r"<[^>]*>", " ", text)
    return in_a_line(words)[:_WORDS]


def mapping(answer: Any, where: str) -> dict[str, Any]:
    """Return an answer that is an object."""
    if not isinstance(answer, dict):
        raise _unreadable(where, f"a {type(answer).__name__} instead of an object")
    return answer


def _unreadable(where: str, why: str) -> UnreadableAnswerError:
    return UnreadableAnswerError(200, why, where=where)


def sync_answer(answer: Any, server_s: float | None) -> SyncAnswer:
    """Read the answer of a sync call."""
    answer = mapping(answer, contract.SYNC_PATH)
    items, affected = answer.get("items"), answer.get("codes_affected")
    readable = isinstance(items, dict) and all(map(_are_names, items.values()))
    codes, updates = _count(affected), _count(answer.get("total_updates"))
    if not readable or codes is None:
        raise _unreadable(contract.SYNC_PATH, "no items or codes_affected")
    fields = {value: tuple(map(str, names)) for value, names in items.items()}
    updates = len(fields) if updates is None else updates
    return SyncAnswer(updates, codes, fields, answer.get("changes"), server_s)


def async_answer(answer: Any) -> AsyncAnswer:
    """Read the answer of an async call."""
    task_id = mapping(answer, contract.ASYNC_PATH).get("task_id")
    if not isinstance(task_id, str | int) or isinstance(task_id, bool) or task_id == "":
        raise _unreadable(contract.ASYNC_PATH, "no task_id")
    return AsyncAnswer(_text(task_id))


def document_key(answer: dict[str, Any]) -> str:
    """Return the key of the document that a download makes, as a segment of a path."""
    key = mapping(answer.get("document"), contract.DOWNLOAD_PATH).get("key")
    if not isinstance(key, str | int):
        raise _unreadable(contract.DOWNLOAD_PATH, "no document key")
    return segment(key)


def products(page: dict[str, Any]) -> tuple[list[Product], int]:
    """Read a page of products, and how many there are in all."""
    listed = page.get("results")
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise _unreadable(contract.PRODUCTS_PATH, "no list of results")
    total = _count(page.get("count"))
    return [_product(each) for each in listed], len(listed) if total is None else total


def _product(told: dict[str, Any]) -> Product:
    campaign = told.get("campaign")
    campaign = campaign if isinstance(campaign, dict) else {"id": campaign}
    texts = (told.get("sku"), told.get("name"), campaign.get("id"), campaign.get("name"))
    sku, name, number, campaign_name = ("" if text is None else _text(text) for text in texts)
    counts = (told.get(name) for name in ("code_count", "active_code_count", "blacklisted_code_count"))
    return Product(sku, name, number, campaign_name, *map(_count, counts))


def text_in(answer: dict[str, Any], name: str, where: str) -> str:
    """Return a text that an answer must have."""
    if not isinstance(text := answer.get(name), str):
        raise _unreadable(where, f"no {name!r}")
    return text


def _are_names(value: object) -> bool:
    """Whether all of these are names of fields: what cannot be read may stand for one that would seem to be missing."""
    return isinstance(value, list) and all(isinstance(name, str | int) for name in value)


def task(answer: dict[str, Any], task_id: str) -> Task:
    """Read a task; some clients see camelCase names, so both are read."""

    def value(name: str) -> Any:
        return next((answer[n] for n in (name, _camel(name)) if answer.get(n) is not None), None)

    def text(name: str) -> str | None:
        return None if (told := value(name)) is None else _text(told)

    word, affected = value("state"), value("codes_affected")
    if not isinstance(word, str) or not word.strip():
        raise _unreadable(f"task {task_id}", "no state")
    word = _text(word)
    return Task(
        task_id, contract.TaskState.read(word), word, _count(affected),
        text("reference"), text("created_by"), text("created_at"), text("started_at"), text("completed_at"),
    )  # fmt: skip


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def _count(value: object) -> int | None:
    """Read a number of codes; one beyond all bounds is the largest there is."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        return None
    return int(min(value, _MOST)) if value >= _MOST or value == int(value) else None


def _text(value: object) -> str:
    text = str(value) if isinstance(value, str | int | float) else f"a {type(value).__name__}"
    return in_a_line(text[: 2 * _LONGEST_ID])


def segment(value: object) -> str:
    """Quote an id as one segment of a path; refuse one that could change the path, or that no URL can hold."""
    text = _text(value)
    if text != str(value) or len(text) > _LONGEST_ID or {"", ".", ".."}.intersection(re.split(r"[/\\]", text)):
        raise UnreadableAnswerError(200, f"{text[:50]!r} is not an id that can be asked for", where="the service")
    return quote(text, safe="")
