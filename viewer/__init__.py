"""The viewer: a server for recorded runs, and (in `web/`) the page that it shows.

    from viewer import ViewerServer, serve

Reads runs only, never writes one, and needs no torch.
"""

from viewer.server import ViewerServer, serve

__all__ = ["ViewerServer", "serve"]
