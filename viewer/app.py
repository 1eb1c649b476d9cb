"""The Flask application: the page's files, the interface under `api/`, and the guard before both."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from flask import Flask, Response, redirect, request, send_from_directory
from werkzeug.wrappers import Response as BaseResponse

from viewer import problems, security
from viewer.api import LASTING, make_api
from viewer.catalogue import Catalogue
from viewer.tail import Tail

STATIC = Path(__file__).parent / "static"
"""The built page. Made from `viewer/web` when paramviz is installed; not under version control."""

_NOT_BUILT = """<!doctype html>
<meta charset="utf-8">
<title>paramviz: the page is not built</title>
<h1>The page is not built</h1>
<p>This paramviz was started from its sources, and the browser side has not been built yet.
Run <code>./scripts/setup</code> in the checkout, which builds <code>viewer/static</code>, then load this page
again.</p>
<p>The data are served all the same: <a href="api/runs">api/runs</a>.</p>
"""


def _with_slash() -> BaseResponse | None:
    """The page's addresses are relative, so below a prefix it must be loaded with the slash at its end."""
    if request.environ.get("PATH_INFO") != "" or not request.root_path:
        return None
    query = request.query_string.decode("latin-1")
    return redirect(f"{request.root_path}/" + (f"?{query}" if query else ""), 308)


def create_app(
    catalogue: Catalogue,
    *,
    access: security.Access | None = None,
    tail: Tail | None = None,
    static: Path = STATIC,
) -> Flask:
    """The application that shows the runs of `catalogue`.

    access: who may ask (default: loopback names, no token). tail: who watches
    growing runs; whoever passes one closes it. static: where the built page lies.
    """
    app = Flask("viewer", static_folder=None, template_folder=None)
    app.url_map.merge_slashes = False
    app.before_request(_with_slash)
    security.guard(app, access or security.Access())
    problems.register(app)
    app.register_blueprint(make_api(catalogue, tail or Tail()))
    # What the system's registry says of .js differs (on Windows it may be text/plain), and nosniff is strict.
    mimetypes.add_type("text/javascript", ".js")

    @app.get("/")
    def page() -> Response:
        if not (static / "index.html").is_file():
            return Response(_NOT_BUILT, 503, content_type="text/html; charset=utf-8")
        return file("index.html")

    @app.get("/<path:name>")
    def file(name: str) -> Response:
        response = send_from_directory(static, name)
        # The build puts a hash of the content into the names under assets/.
        response.headers["Cache-Control"] = LASTING if name.startswith("assets/") else "no-cache"
        return response

    return app
