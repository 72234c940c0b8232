"""The endpoints of the management port: health, role, metrics, log level, metadata in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from hmac import compare_digest
from ipaddress import ip_address
from typing import Final

from milvus_coord.telemetry import logsetup
from milvus_coord.telemetry.exposition import CONTENT_TYPE
from milvus_coord.telemetry.log import log
from milvus_coord.telemetry.metrics import Metrics
from milvus_coord.telemetry.sparing import Sparing
from milvus_coord.telemetry.status import Check, MirrorStatus, ProcessStatus
from milvus_coord.telemetry.web import (
    JSON,
    TEXT,
    Handler,
    Request,
    Response,
    Routes,
    json_line,
    text,
)

# Go answers 500 while Initializing, so that Kubernetes kills a standby during a long activation
# (milvus-io/milvus#38308); here that is healthy.
_WELL: Final = frozenset({0, 1, 3})
_ROLE_STATUS: Final = {"active": 200, "standby": 429, "neither": 503}


def routes(
    status: ProcessStatus,
    metrics: Metrics,
    mirror: MirrorStatus | None = None,
    *,
    token: str = "",
) -> Routes:
    """What the management server of a process serves: Go's paths and ours, nothing at `/`.

    What changes something or shows metadata answers clients on this machine alone, and others that
    have `token`, when there is one: `Authorization: Bearer <token>`.
    """
    found: dict[str, Mapping[str, Handler]] = {
        "/healthz": {"GET": _healthz(status)},
        "/livez": {"GET": _checks("livez", status.liveness)},
        "/readyz": {"GET": _checks("readyz", status.readiness)},
        "/role": {"GET": _role(status)},
        "/metrics": {"GET": _rendered(Sparing(metrics.render))},
        "/metrics_default": {"GET": _rendered(Sparing(metrics.render_runtime))},
        "/log/level": {"GET": _get_level, "PUT": _guarded(_put_level, token)},
    }
    if mirror is not None:
        found["/mirror"] = {"GET": _mirror(mirror, token)}
    return found


def _may(request: Request, token: str) -> bool:
    if _is_loopback(request.peer):
        return True
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    known = token.encode()
    return bool(known) and scheme.lower() == "bearer" and compare_digest(given.encode(), known)


def _is_loopback(peer: str) -> bool:
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def _forbidden(token: str) -> Response:
    lacks = (
        "the token of ha.managementToken is wanted" if token else "ha.managementToken is not set"
    )
    return text(f"only from this machine: {lacks}\n", 403)


def _guarded(handler: Handler, token: str) -> Handler:
    async def answer(request: Request) -> Response:
        return await handler(request) if _may(request, token) else _forbidden(token)

    return answer


def _healthz(status: ProcessStatus) -> Handler:
    async def healthz(request: Request) -> Response:
        components = status.components()
        ill = [each for each in components if each.code not in _WELL]
        state = f"component {ill[0].name} state is {ill[0].state}" if ill else "OK"
        code = 500 if ill else 200
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            return text(state, code)
        detail = [{"name": each.name, "code": each.code} for each in components]
        body = json.dumps({"state": state, "detail": detail}, separators=(",", ":"))
        return text(body, code)  # Go calls its JSON plain text, too

    return healthz


def _checks(name: str, checks: Callable[[], Sequence[Check]]) -> Handler:
    async def answer(request: Request) -> Response:
        excluded = {each for value in request.query.get("exclude", ()) for each in value.split(",")}
        all_checks = checks()
        passed = all(check.ok or check.name in excluded for check in all_checks)
        if passed and "verbose" not in request.query:
            return text("ok")
        lines = [_check_line(check, check.name in excluded) for check in all_checks]
        unknown = sorted(excluded - {check.name for check in all_checks} - {""})
        if unknown:
            lines.append(f"warn: no check is called {', '.join(unknown)}")
        lines.append(f"{name} check {'passed' if passed else 'failed'}")
        return text("\n".join(lines) + "\n", 200 if passed else 503)

    return answer


def _check_line(check: Check, excluded: bool) -> str:
    if excluded:
        return f"[+]{check.name} excluded: {'ok' if check.ok else 'failed'}"
    if check.ok:
        return f"[+]{check.name} ok"
    return f"[-]{check.name} failed: {' '.join(check.detail.split()) or 'no detail'}"


def _role(status: ProcessStatus) -> Handler:
    async def role(_request: Request) -> Response:
        view = status.role()
        body = {**view.body, "position": view.position}
        return json_line(body, _ROLE_STATUS[view.position])

    return role


def _mirror(mirror: MirrorStatus, token: str) -> Handler:
    """The digest as JSON; with `?dump` the lines, and what the JSON says in headers.

    The lines show all names and grants, so not everybody gets them; nor may everybody have a
    digest made at any time.
    """

    async def answer(request: Request) -> Response:
        whole = "dump" in request.query
        may = _may(request, token)
        if whole and not may:
            return _forbidden(token)
        found = await (mirror.dump() if whole else mirror.digest(fresh=may))
        if not found.complete:
            return json_line(found.facts, 503)
        if not whole:
            return json_line(found.facts)
        headers = {
            f"Mirror-{name.capitalize()}": str(each)
            for name, each in found.facts.items()
            if isinstance(each, str | int)
        }
        return Response(found.lines, content_type=TEXT, headers=headers)

    return answer


def _rendered(rendering: Sparing) -> Handler:
    async def answer(_request: Request) -> Response:
        return Response(await rendering.get(), content_type=CONTENT_TYPE)

    return answer


async def _get_level(_request: Request) -> Response:
    return json_line({"level": logsetup.level()})


async def _put_level(request: Request) -> Response:
    try:
        asked = json.loads(request.body)
        if not isinstance(asked, dict) or not isinstance(asked.get("level"), str):
            raise ValueError('the body must look like {"level":"info"}')
        logsetup.set_level(asked["level"])
    except (ValueError, RecursionError) as error:
        return json_line({"error": str(error)}, 400)
    log.warn("log level changed", level=logsetup.level())
    return await _get_level(request)
