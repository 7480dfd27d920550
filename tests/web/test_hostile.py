"""Requests that a browser does not send: each is refused, nothing is leaked, nothing is left behind."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.media import make_video
from tests.support.web import Answer, Site, serving

pytestmark = pytest.mark.skipif(find_spec("gradio") is None, reason="Gradio is not installed (extra web)")

PLAYLIST = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"
CONCAT = b"ffconcat version 1.0\nfile '/etc/passwd'\n"
MPD = b"<?xml version='1.0'?><MPD><Period><BaseURL>file:///etc/passwd</BaseURL></Period></MPD>"
SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd' width='9' height='9'/></svg>"
FILE = {"meta": {"_type": "gradio.FileData"}}
BOUNDARY = b"--b\r\nContent-Disposition: form-data; name=files; filename=../../x.mp4\r\n\r\nx\r\n--b--\r\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("hostile")
    with serving(folder / "jobs", "--max-size", "1M", "--max-length", "5") as site:
        yield site


@pytest.fixture(scope="module")
def victim(site: Site, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A visitor's cookie and the number of a job with a result."""
    video = make_video(tmp_path_factory.mktemp("own") / "a.mp4", frames=4, rate=4)
    cookie = site.visitor()
    made = site.ask("POST", "/alanet/upload?name=secret.mp4", video.read_bytes(), Cookie=cookie)
    assert made.status == 201, made.text
    folder = site.folder / made.text
    (folder / "before.png").write_bytes(b"secret picture")
    return cookie, made.text


def upload(site: Site, body: bytes, name: str = "a.mp4") -> Answer:
    return site.ask("POST", f"/alanet/upload?name={name}", body, Cookie=site.visitor())


def long_video(site: Site, folder: Path) -> Answer:
    return upload(site, make_video(folder / "long.mp4", frames=24, rate=4).read_bytes())


def join(site: Site, **more: object) -> Answer:
    """A call of a Gradio event with values of the visitor's own."""
    body = {"data": [], "fn_index": 0, "session_hash": "abcdef1234", "trigger_id": 1, **more}
    return site.ask(
        "POST",
        "/gradio_api/queue/join",
        json.dumps(body).encode(),
        Cookie=site.visitor(),
        Content_Type="application/json",
    )


def get(path: str, **headers: str) -> Callable[[Site, str, Path], Answer]:
    return lambda site, other, folder: site.ask("GET", path.replace("JOB", other), Cookie=site.visitor(), **headers)


def post(path: str, body: bytes, **headers: str) -> Callable[[Site, str, Path], Answer]:
    return lambda site, other, folder: site.ask("POST", path, body, Cookie=site.visitor(), **headers)


def raw(request: str) -> Callable[[Site, str, Path], Answer]:
    """Sent as it is, with a visitor's cookie."""
    return lambda site, other, folder: site.raw(
        request.replace("COOKIE", site.visitor()).replace("JOB", other).encode("latin-1")
    )


HOST = "Host: 127.0.0.1\r\nConnection: close\r\n"
UPLOAD = f"POST /alanet/upload?name=a.mp4 HTTP/1.1\r\n{HOST}Cookie: COOKIE\r\n"
SMUGGLED = f"GET /alanet/JOB/watch-input HTTP/1.1\r\n{HOST}Cookie: COOKIE\r\n\r\n"
HOSTILE: dict[str, tuple[set[int], Callable[[Site, str, Path], Answer]]] = {
    "Gradio's file route, absolute path": ({404}, get("/gradio_api/file=/etc/passwd")),
    "Gradio's file route, a job's file": (
        {404},
        lambda s, o, f: s.ask("GET", f"/gradio_api/file={s.folder}/{o}/input.mp4", Cookie=s.visitor()),
    ),
    "Gradio's proxy to another server": ({404}, get("/gradio_api/proxy=http://127.0.0.1:22/")),
    "Gradio's upload route": (
        {404},
        post("/gradio_api/upload", BOUNDARY, Content_Type="multipart/form-data; boundary=b"),
    ),
    "Gradio's code editor": ({404}, post("/gradio_api/vibe-edit", b"{}")),
    "Gradio's monitoring": ({404}, get("/monitoring")),
    "path traversal in a static path": ({404}, raw(f"GET /static/../../../etc/passwd HTTP/1.1\r\n{HOST}\r\n")),
    "encoded path traversal": ({404}, raw(f"GET /assets/%2e%2e/%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\n{HOST}\r\n")),
    "path traversal in a job's file": (
        {404},
        raw(f"GET /alanet/JOB/..%2Fjob.json HTTP/1.1\r\n{HOST}Cookie: COOKIE\r\n\r\n"),
    ),
    "another visitor's input": ({404}, get("/alanet/JOB/watch-input")),
    "another visitor's picture": ({404}, get("/alanet/JOB/before")),
    "another visitor's result, without a cookie": (
        {404},
        lambda site, other, folder: site.ask("GET", f"/alanet/{other}/result"),
    ),
    "a file of a job that is not offered": ({404}, get("/alanet/JOB/job.json")),
    "path traversal in an uploaded name": (
        {415},
        lambda s, o, f: upload(s, b"no video", "..%2F..%2F..%2Fetc%2Fcron.d%2Fx"),
    ),
    "an uploaded absolute name": ({415}, lambda s, o, f: upload(s, b"no video", "%2Fetc%2Fpasswd")),
    "a playlist (HLS)": ({415}, lambda s, o, f: upload(s, PLAYLIST, "a.m3u8")),
    "a playlist (ffconcat) named as a video": ({415}, lambda s, o, f: upload(s, CONCAT)),
    "a playlist (DASH)": ({415}, lambda s, o, f: upload(s, MPD, "a.mpd")),
    "a text that is not a video": ({415}, lambda s, o, f: upload(s, b"hello " * 1000)),
    "a damaged video": ({415}, lambda s, o, f: upload(s, b"\0\0\0\x20ftypisom" + b"\xff" * 4000)),
    "a video that is too long": ({415}, lambda s, o, f: long_video(s, f)),
    "a file that is too large": (
        {413},
        lambda s, o, f: s.raw((UPLOAD.replace("COOKIE", s.visitor()) + "Content-Length: 2000000\r\n\r\n").encode()),
    ),
    "an upload of unknown size": ({411}, raw(f"{UPLOAD}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")),
    "an upload that ends early": ({0, 400}, raw(f"{UPLOAD}Content-Length: 9000\r\n\r\nhello")),
    "an upload without a cookie": ({403}, lambda s, o, f: s.ask("POST", "/alanet/upload?name=a.mp4", b"x")),
    "an upload from another page": ({403}, post("/alanet/upload?name=a.mp4", b"x", Origin="http://evil.example")),
    "huge headers": ({431}, get("/", X="x" * 60_000)),
    "an event with a file of the server": ({400}, lambda s, o, f: join(s, data=[FILE | {"path": "/etc/passwd"}])),
    "an event with a file of another server": (
        {400},
        lambda s, o, f: join(s, data=[FILE | {"path": "http://evil.example/x", "url": "http://evil.example/x"}]),
    ),
    "an event without values": ({400}, lambda s, o, f: join(s, data=None)),
    "an event that is no JSON": ({400}, post("/gradio_api/queue/join", b"[" * 60_000)),
    "an event without a cookie": ({403}, lambda s, o, f: s.ask("POST", "/gradio_api/queue/join", b"{}")),
    "Gradio's direct calls": ({404}, post("/gradio_api/call/start", b'{"data": []}')),
    "Gradio's stored files of a component": ({404}, post("/gradio_api/component_server", b"{}")),
    "a picture with a link (SVG)": ({415}, lambda s, o, f: upload(s, SVG, "a.mp4")),
    "a list of protocols as a video": ({415}, lambda s, o, f: upload(s, b"concat:/etc/passwd|/etc/hosts")),
    "a video of too many pixels": ({415}, lambda s, o, f: upload(s, (b"YUV4MPEG2 W99999 H99999 F25:1\nFRAME\n"))),
    "control characters in an uploaded name": (
        {415},
        lambda s, o, f: upload(s, b"no video", "a%0d%0aX-Evil:%201%00.mp4"),
    ),
    "two sizes of one body (request smuggling)": (
        {400, 411},
        raw(f"{UPLOAD}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}"),
    ),
    "a negative size": ({400, 411}, raw(f"{UPLOAD}Content-Length: -1\r\n\r\n")),
    "another protocol (WebSocket)": (
        {404},
        raw("GET /queue/join HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    ),
    "a cookie that is no number": (
        {404},
        lambda s, o, f: s.ask("GET", f"/alanet/{o}/result", Cookie="alanet_visitor=../x"),
    ),
    "a huge event": ({413}, lambda s, o, f: join(s, data=["x" * 100_000])),
    "another host name (DNS rebinding)": ({403}, get("/", Host="evil.example")),
    "an unknown method": ({405}, lambda s, o, f: s.ask("DELETE", f"/alanet/{o}/result", Cookie=s.visitor())),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_it_is_refused_and_leaves_nothing(site: Site, victim: tuple[str, str], tmp_path: Path, name: str) -> None:
    before, (statuses, send) = site.files(), HOSTILE[name]
    answer = send(site, victim[1], tmp_path)
    assert answer.status in statuses, answer.text[:300]
    for secret in (str(site.folder), str(Path.home()), "root:x:0:0", "secret", "Traceback"):
        assert secret not in answer.text
    end = time.monotonic() + 5  # an upload that was cut off is removed once the server notices
    while site.files() != before and time.monotonic() < end:
        time.sleep(0.05)
    assert site.files() == before
    assert site.process.poll() is None


def event(site: Site, number: int, data: list[object], session: str, cookie: str) -> str:
    """What the queue answers to a call of a function of the page."""
    call = {"data": data, "fn_index": number, "session_hash": session}
    headers = {"Cookie": cookie, "Content_Type": "application/json"}
    site.ask("POST", "/gradio_api/queue/join", json.dumps(call).encode(), **headers)
    return site.ask("GET", f"/gradio_api/queue/data?session_hash={session}", Cookie=cookie).text


def test_another_visitors_job_cannot_be_reached_through_an_event(site: Site, victim: tuple[str, str]) -> None:
    """Every function of the page, called by a stranger in the owner's session, whose state holds the job's number."""
    owner, job = victim
    functions = json.loads(site.ask("GET", "/config", Cookie=owner).body)["dependencies"]
    before, stranger, printed = site.files(), site.visitor(), len(site.said)
    for function in functions:
        if not function["backend_fn"]:
            continue
        assert "secret.mp4" in event(site, 0, [], "owners0000", owner)
        reply = event(site, function["id"], [job] * len(function["inputs"]), "owners0000", stranger)
        assert '"process_completed"' in reply, (function["api_name"], reply[:300])
        assert '"success":true' in reply.replace(" ", ""), (function["api_name"], reply[:300])
        for secret in ("secret.mp4", str(site.folder), job):
            assert secret not in reply, (function["api_name"], secret)
    assert site.files() == before
    assert site.said[printed:] == []


def test_the_owner_reaches_the_job(site: Site, victim: tuple[str, str]) -> None:
    cookie, job = victim
    answer = site.ask("GET", f"/alanet/{job}/before", Cookie=cookie)
    assert (answer.status, answer.body) == (200, b"secret picture")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_nothing_without_the_password(tmp_path: Path) -> None:
    """The server listens on all addresses and goes by every name."""
    with serving(tmp_path / "jobs", "--auth", "me:right", "--host", "0.0.0.0") as site:
        for path in ("/", "/config", "/theme.css", "/gradio_api/queue/data?session_hash=abcdef1234"):
            assert site.ask("GET", path).status == 401
            assert site.ask("GET", path, Authorization="Basic bWU6d3Jvbmc=").status == 401  # me:wrong
        assert site.ask("GET", "/", Authorization="Basic bWU6cmlnaHQ=", Host="a.example").status == 200  # me:right
