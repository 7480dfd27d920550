"""`alanet web`: the page in a browser."""

from __future__ import annotations

from importlib.util import find_spec

from alanet.cli.options import NetworkOptions, ServerOptions
from alanet.cli.screen import Screen
from alanet.errors import OptionError, ResourceError

__all__ = ["web"]


def web(*, server: ServerOptions = ServerOptions(), network: NetworkOptions = NetworkOptions()) -> int:
    """Serve a page that restores videos in a browser. Ctrl-C stops it; unfinished videos resume at the next start."""
    if find_spec("gradio") is None:
        raise ResourceError(
            'alanet web needs Gradio, which is not installed; install it with: pip install "alanet[web]"'
        )
    from alanet.model.weights import available_models

    if network.model is not None and network.model not in (names := available_models()):
        raise OptionError(f"model {network.model!r} is not one that the page offers; choose {', '.join(names)}")
    from alanet.web.server import serve

    screen = Screen()
    if not server.local and server.auth is None:
        screen.rows([("warning", f"everyone who reaches {server.host} can use this page; --auth asks for a password")])
    serve(server, network, lambda address: screen.rows([("page", address)]))
    return 0
