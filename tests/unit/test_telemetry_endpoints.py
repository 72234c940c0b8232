"""What the endpoints say, for every state a process can be in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import pytest

from milvus_coord.telemetry import logsetup
from milvus_coord.telemetry.endpoints import routes
from milvus_coord.telemetry.log import log
from milvus_coord.telemetry.metrics import Metrics
from milvus_coord.telemetry.status import Check, Component, MirrorAnswer, RoleView
from milvus_coord.telemetry.web import TEXT, Request, Response

STATES = ("Initializing", "Healthy", "Abnormal", "StandBy", "Stopping")


@dataclass
class FakeStatus:
    states: Sequence[int] = (1,)
    checks: Sequence[Check] = ()
    view: RoleView = field(default_factory=lambda: RoleView("standby", {"role": "rootcoord"}))

    def components(self) -> Sequence[Component]:
        names = ("rootcoord", "datacoord")
        return [Component(names[n], code, STATES[code]) for n, code in enumerate(self.states)]

    def liveness(self) -> Sequence[Check]:
        return self.checks

    def readiness(self) -> Sequence[Check]:
        return self.checks

    def role(self) -> RoleView:
        return self.view


@pytest.fixture(autouse=True)
def _level_as_before() -> Iterator[None]:
    floor = log.floor
    yield
    logsetup.set_level("debug")
    log.floor = floor


async def ask(
    status: FakeStatus, path: str, request: Request | None = None, metrics: Metrics | None = None
) -> Response:
    request = request or Request("GET", path)
    handler = routes(status, metrics or Metrics())[path][request.method]
    return await handler(replace(request, peer="127.0.0.1"))


@pytest.mark.parametrize(
    ("peer", "token", "given", "allowed"),
    [
        ("127.0.0.1", "", "", True),
        ("127.8.0.1", "", "", True),
        ("::1", "", "", True),
        ("::ffff:127.0.0.1", "", "", True),
        ("10.0.0.7", "", "", False),
        ("10.0.0.7", "", "Bearer ", False),
        ("::ffff:10.0.0.7", "", "", False),
        ("fe80::1%eth0", "", "", False),
        ("", "", "", False),
        ("10.0.0.7", "open", "", False),
        ("10.0.0.7", "open", "Bearer opem", False),
        ("10.0.0.7", "open", "Basic open", False),
        ("10.0.0.7", "open", "Bearer \xff", False),
        ("10.0.0.7", "open", "bearer open", True),
    ],
)
async def test_who_may_change_something_or_see_metadata(
    peer: str, token: str, given: str, allowed: bool
) -> None:
    known = routes(FakeStatus(), Metrics(), FakeMirror(), token=token)
    headers = {"authorization": given} if given else {}
    put = Request("PUT", "/log/level", headers=headers, body=b'{"level":"info"}', peer=peer)
    dump = Request("GET", "/mirror", {"dump": [""]}, headers, peer=peer)
    for request in (put, dump):
        answer = await known[request.path][request.method](request)
        assert (answer.status == 200) is allowed
        assert (answer.status == 403) is not allowed
    for open_to_all in ("/mirror", "/metrics", "/healthz", "/log/level"):
        answer = await known[open_to_all]["GET"](Request("GET", open_to_all, peer=peer))
        assert answer.status == 200


@pytest.mark.parametrize("code", [0, 1, 3])
async def test_healthz_is_ok_while_healthy_standby_and_activating(code: int) -> None:
    answer = await ask(FakeStatus([code, 1]), "/healthz")
    assert (answer.status, answer.body, answer.content_type) == (200, b"OK", TEXT)


@pytest.mark.parametrize("code", [2, 4])
async def test_healthz_names_the_ill_component(code: int) -> None:
    answer = await ask(FakeStatus([1, code]), "/healthz")
    assert answer.status == 500
    assert answer.body.decode() == f"component datacoord state is {STATES[code]}"


async def test_healthz_speaks_json_only_when_asked_in_json() -> None:
    in_json = Request("GET", "/healthz", headers={"content-type": "application/json"})
    answer = await ask(FakeStatus([1]), "/healthz", in_json)
    assert answer.body == b'{"state":"OK","detail":[{"name":"rootcoord","code":1}]}'
    assert (answer.status, answer.content_type) == (200, TEXT)
    answer = await ask(FakeStatus([2]), "/healthz", in_json)
    assert answer.status == 500
    assert json.loads(answer.body) == {
        "state": "component rootcoord state is Abnormal",
        "detail": [{"name": "rootcoord", "code": 2}],
    }


MIXED = (Check("etcd", True), Check("mirror", False, "behind by\n3 s"))


@pytest.mark.parametrize("name", ["livez", "readyz"])
async def test_checks(name: str) -> None:
    path = f"/{name}"
    well = FakeStatus(checks=MIXED[:1])
    answer = await ask(well, path)
    assert (answer.status, answer.body) == (200, b"ok")
    answer = await ask(well, path, Request("GET", path, {"verbose": [""]}))
    assert (answer.status, answer.body.decode()) == (200, f"[+]etcd ok\n{name} check passed\n")
    answer = await ask(FakeStatus(checks=MIXED), path)
    assert answer.status == 503
    assert answer.body.decode() == (
        f"[+]etcd ok\n[-]mirror failed: behind by 3 s\n{name} check failed\n"
    )


async def test_checks_can_be_excluded() -> None:
    request = Request("GET", "/readyz", {"verbose": [""], "exclude": ["mirror", "moon"]})
    answer = await ask(FakeStatus(checks=MIXED), "/readyz", request)
    assert answer.status == 200
    assert answer.body.decode().splitlines() == [
        "[+]etcd ok",
        "[+]mirror excluded: failed",
        "warn: no check is called moon",
        "readyz check passed",
    ]


@pytest.mark.parametrize(
    ("view", "status"),
    [
        (RoleView("active", {"role": "rootcoord", "lease_age_s": 0.5}), 200),
        (RoleView("standby", {"holder": 18}), 429),
        (RoleView("neither", {}), 503),
    ],
)
async def test_role(view: RoleView, status: int) -> None:
    answer = await ask(FakeStatus(view=view), "/role")
    assert answer.status == status
    assert answer.body.endswith(b"}\n")
    assert json.loads(answer.body) == {**view.body, "position": view.position}


async def test_metrics() -> None:
    metrics = Metrics()
    metrics.gauge("milvus_num_node", "n").set(1)
    answer = await ask(FakeStatus(), "/metrics", metrics=metrics)
    assert b"\nmilvus_num_node 1\n" in answer.body
    assert answer.content_type == "text/plain; version=0.0.4; charset=utf-8"
    default = await ask(FakeStatus(), "/metrics_default", metrics=metrics)
    assert b"milvus_" not in default.body
    assert b"process_open_fds" in default.body


async def test_log_level_is_shown_and_set() -> None:
    logsetup.set_level("debug")
    assert (await ask(FakeStatus(), "/log/level")).body == b'{"level":"debug"}\n'
    put = Request("PUT", "/log/level", body=b'{"level":"WARN"}')
    answer = await ask(FakeStatus(), "/log/level", put)
    assert (answer.status, answer.body) == (200, b'{"level":"warn"}\n')
    assert logsetup.level() == "warn"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"level":3}', b'{"level":"loud"}', b"\xff", b"[" * 60_000]
)
async def test_a_bad_log_level_changes_nothing(body: bytes) -> None:
    logsetup.set_level("info")
    answer = await ask(FakeStatus(), "/log/level", Request("PUT", "/log/level", body=body))
    assert answer.status == 400
    assert json.loads(answer.body)["error"]
    assert logsetup.level() == "info"


def test_paths() -> None:
    known = routes(FakeStatus(), Metrics())
    assert sorted(known) == [
        "/healthz",
        "/livez",
        "/log/level",
        "/metrics",
        "/metrics_default",
        "/readyz",
        "/role",
    ]


class FakeMirror:
    """What a process holds: nothing yet, or two lines."""

    def __init__(self, *, complete: bool = True) -> None:
        self._complete = complete
        self._facts = {"role": "rootcoord", "revision": 7, "digest": "ab"}
        self.asked_fresh: list[bool] = []

    async def digest(self, *, fresh: bool) -> MirrorAnswer:
        self.asked_fresh.append(fresh)
        if not self._complete:
            return MirrorAnswer({"role": "rootcoord", "error": "not read"}, complete=False)
        return MirrorAnswer(self._facts)

    async def dump(self) -> MirrorAnswer:
        return replace(
            await self.digest(fresh=True), lines=b"one\ntwo\n" if self._complete else b""
        )


@pytest.mark.parametrize(
    ("peer", "given", "fresh"),
    [("127.0.0.1", "", True), ("10.0.0.9", "", False), ("10.0.0.9", "Bearer t", True)],
)
async def test_not_everybody_has_a_digest_made_anew(peer: str, given: str, fresh: bool) -> None:
    mirror = FakeMirror()
    handler = routes(FakeStatus(), Metrics(), mirror, token="t")["/mirror"]["GET"]
    request = Request("GET", "/mirror", headers={"authorization": given}, peer=peer)
    assert (await handler(request)).status == 200
    assert mirror.asked_fresh == [fresh]


async def test_mirror_is_a_digest_or_all_lines() -> None:
    handler = routes(FakeStatus(), Metrics(), FakeMirror())["/mirror"]["GET"]
    answer = await handler(Request("GET", "/mirror"))
    assert (answer.status, json.loads(answer.body)["digest"]) == (200, "ab")
    answer = await handler(Request("GET", "/mirror", {"dump": [""]}, peer="::1"))
    assert (answer.status, answer.body, answer.content_type) == (200, b"one\ntwo\n", TEXT)
    assert answer.headers["Mirror-Revision"] == "7"


@pytest.mark.parametrize("query", [{}, {"dump": [""]}])
async def test_mirror_that_is_being_read_is_unavailable(query: dict[str, list[str]]) -> None:
    handler = routes(FakeStatus(), Metrics(), FakeMirror(complete=False))["/mirror"]["GET"]
    answer = await handler(Request("GET", "/mirror", query, peer="::1"))
    assert answer.status == 503
    assert json.loads(answer.body) == {"role": "rootcoord", "error": "not read"}


def test_without_a_mirror_there_is_no_such_path() -> None:
    assert "/mirror" not in routes(FakeStatus(), Metrics())
