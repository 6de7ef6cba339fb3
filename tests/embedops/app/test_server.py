"""The page as a server: its file routes, uploads, queue and visitors."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import gradio_client
import httpx
import pytest

from embedops_emoji import model_path

from .conftest import Server

SECRETS = ("/etc/passwd", "pyproject.toml", "../../../../etc/passwd", "embedops/app/page.py")


def values(server: Server, name: str) -> list[Any]:
    """What stands in the controls of an endpoint at first."""
    [function] = [f for f in server.blocks.fns.values() if f.api_name == name]
    return [getattr(component, "value", None) for component in function.inputs]


@pytest.fixture
def client(server: Server) -> gradio_client.Client:
    return gradio_client.Client(server.address, verbose=False)


def test_no_file_of_the_server_is_reachable(server: Server, tmp_path: Path) -> None:
    beside = tmp_path / "beside.txt"
    beside.write_text("secret")
    model = str(model_path() / "model_index.json")
    assert Path(model).is_file()
    for path in (*SECRETS, str(beside), model, str(Path.cwd())):
        for route in ("file=", "file/", "stream/", "component_server/"):
            answer = httpx.get(f"{server.address}gradio_api/{route}{path}")
            assert answer.status_code in (403, 404, 405), (route, path)


def test_uploads_are_limited(server: Server) -> None:
    def upload(name: str, size: int) -> int:
        files = {"files": (name, b"x" * size)}
        return httpx.post(f"{server.address}gradio_api/upload", files=files, timeout=60).status_code

    assert upload("small.png", 1000) == 200
    assert upload("large.png", 6_000_000) == 413


def test_a_server_path_is_no_upload(server: Server, client: gradio_client.Client) -> None:
    given = values(server, "learn")
    given[1] = [{"path": "/etc/hostname", "meta": {"_type": "gradio.FileData"}}]
    with pytest.raises(Exception, match=r"(?i)file|path|not allowed|error"):
        client.predict(*given, api_name="/learn")


def test_what_is_public_is_documented(client: gradio_client.Client) -> None:
    named = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert {"/steer", "/video", "/remove", "/learn", "/inside", "/compare"} <= set(named)


def test_two_visitors_have_their_own(server: Server) -> None:
    one, two = (gradio_client.Client(server.address, verbose=False) for _ in range(2))
    given = values(server, "steer")
    given[5], given[7] = 1, 4
    jobs = []
    for client, prompt in ((one, "a dagger"), (two, "a penguin in the snow")):
        jobs.append(client.submit(prompt, *given[1:], api_name="/steer"))
    pages = []
    for job in jobs:
        job.result(timeout=120)
        pages.append([str(update) for update in job.outputs()])
    assert any("dagger" in text for text in pages[0])
    assert not any("dagger" in text for text in pages[1])
    assert any("penguin" in text for text in pages[1])
    assert not any("penguin" in text for text in pages[0])


def test_a_stop_is_for_the_one_who_asked(server: Server) -> None:
    one, two = (gradio_client.Client(server.address, verbose=False) for _ in range(2))
    given = values(server, "steer")
    given[7] = 40
    stopped = one.submit(*given, api_name="/steer")
    for update in stopped:
        if "drawing plainly" in str(update):
            break
    going_on = two.submit("a cat", *given[1:], api_name="/steer")
    server.visitors.stop(one.session_hash, "steer")
    for job in (stopped, going_on):
        job.result(timeout=120)
    assert "Stopped" in str(stopped.outputs()[-1])
    assert "Done" in str(going_on.outputs()[-1])


def test_a_page_that_is_closed_leaves_nothing_running(server: Server) -> None:
    session = "leaving"
    given = values(server, "steer")
    given[0], given[5], given[7] = "a dagger\na bomb\na gun\nan axe", 6, 40
    [number] = [i for i, f in server.blocks.fns.items() if f.api_name == "steer"]
    body = {"data": given, "fn_index": number, "session_hash": session}
    address = f"{server.address}gradio_api"
    with httpx.stream("GET", f"{address}/heartbeat/{session}", timeout=60) as heart:
        next(heart.iter_text())
        assert httpx.post(f"{address}/queue/join", json=body).status_code == 200
        with httpx.stream(
            "GET", f"{address}/queue/data?session_hash={session}", timeout=60
        ) as data:
            for text in data.iter_text():
                if "drawing plainly" in text:
                    break
        assert server.visitors.running() == 1
    limit = time.monotonic() + 30
    while server.visitors.running() and time.monotonic() < limit:
        time.sleep(0.1)
    assert server.visitors.running() == 0


def test_nothing_is_fetched_from_elsewhere(server: Server) -> None:
    page = httpx.get(server.address).text
    fetched = re.findall(r'<(?:script|link)[^>]+(?:src|href)="(https?://[^"]+)"', page)
    assert [link for link in fetched if not link.startswith(server.address)] == []
