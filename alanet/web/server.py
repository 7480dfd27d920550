"""Serves the page until Ctrl-C: jobs, worker, Gradio and the gate in front of it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

from alanet.errors import ResourceError
from alanet.restoration.options import NetworkOptions
from alanet.web.jobs import Jobs
from alanet.web.options import ServerOptions, default_folder
from alanet.web.routes import Routes
from alanet.web.safety import HEADER_BYTES, App, RequestFilter
from alanet.web.view import View
from alanet.web.worker import WebWorker

__all__ = ["application", "serve"]

PRIVATE = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
CONNECTIONS = 200


def application(view: View) -> App:
    """The page and its files, behind the gate."""
    own = str(view.jobs.folder / "gradio")  # Gradio's default is a folder that all users of the machine share
    os.environ.update(PRIVATE, GRADIO_TEMP_DIR=own)  # before Gradio is imported
    import gradio as gr
    from fastapi import FastAPI

    from alanet.web.page import asset, build_page, theme

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    for path, function, methods in Routes(view.jobs, view.examine).table():
        app.add_route(path, function, methods)
    page = build_page(view)
    app = gr.mount_gradio_app(
        app,
        page,
        path="/",
        allowed_paths=[],
        blocked_paths=["/"],
        show_error=False,
        max_file_size=1,  # uploads have a route of their own
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        run_history=False,
        footer_links=[],
        pwa=False,
        theme=theme(),
        css=asset("page.css"),
    )
    return RequestFilter(app, view.jobs.options)


def serve(options: ServerOptions, network: NetworkOptions, ready: Callable[[str], None]) -> None:
    """Listen until the process is interrupted. ready: called with the address before the first request.

    Raises OutputError where the folder cannot be used, ResourceError where the port cannot.
    """
    import uvicorn

    with Jobs(options.folder or default_folder(), options) as jobs, _listen(options) as listening:
        worker = WebWorker(jobs, network)
        view = View(jobs, worker)
        view.start()
        config = uvicorn.Config(
            application(view),
            log_level="warning",
            access_log=False,
            ws="none",
            server_header=False,
            h11_max_incomplete_event_size=HEADER_BYTES,
            http="h11",
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=2,
            proxy_headers=False,
        )
        worker.start()
        ready(f"http://{_shown(options.host)}:{listening.getsockname()[1]}/")
        try:
            uvicorn.Server(config).run(sockets=[listening])
        finally:
            worker.stop()
            view.close()


def _listen(options: ServerOptions) -> socket.socket:
    """A socket on the address; with port 0, on any free port."""
    kind = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listening = socket.socket(kind, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((options.host, options.port))
        listening.listen()  # requests wait from here on
    except OSError as error:
        listening.close()
        why = error.strerror or error
        raise ResourceError(
            f"cannot listen on {options.host} port {options.port} ({why}); give another --port"
        ) from error
    return listening


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
