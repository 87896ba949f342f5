"""What the host adds to gradio's page: its own script and style, then every extension's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from modules import extensions
from modules.paths_internal import script_path

_gradio_response: Callable[..., Any] | None = None


def webpath(path: Path) -> str:
    """The address of a file in the page; the time of its last change makes browsers fetch it anew."""
    return f"file={path}?{path.stat().st_mtime}"


def javascript_html() -> str:
    """Script tags: the host's first, then the extensions' files by name, classic ones before modules."""
    own = [Path(script_path) / "script.js"]
    classic = [*own, *(path for ext in extensions.active() for path in ext.list_files("javascript", ".js"))]
    modules = [path for ext in extensions.active() for path in ext.list_files("javascript", ".mjs")]
    tags = [f'<script type="text/javascript" src="{webpath(path)}"></script>' for path in classic]
    tags += [f'<script type="module" src="{webpath(path)}"></script>' for path in modules]
    return "\n".join(tags)


def css_html() -> str:
    """Links to the host's style.css and every extension's."""
    folders = [Path(script_path), *(Path(ext.path) for ext in extensions.active() if not ext.is_builtin)]
    styles = [folder / "style.css" for folder in folders]
    return "\n".join(f'<link rel="stylesheet" href="{webpath(path)}">' for path in styles if path.is_file())


def reload_javascript() -> None:
    """Let every page that gradio serves from now on have the tags as the files are now."""
    global _gradio_response
    _gradio_response = _gradio_response or gr.routes.templates.TemplateResponse
    original, head, foot = _gradio_response, javascript_html(), css_html()

    def with_tags(*args: Any, **kwargs: Any) -> Any:
        response = original(*args, **kwargs)
        body = response.body.replace(b"</head>", f"{head}</head>".encode())
        response.body = body.replace(b"</body>", f"{foot}</body>".encode())
        response.init_headers()
        return response

    gr.routes.templates.TemplateResponse = with_tags
