"""Names that extensions look up in `modules.ui`."""

from typing import Any

from modules.ui_common import create_refresh_button  # noqa: F401
from modules.ui_symbols import refresh_symbol  # noqa: F401

txt2img_paste_fields: list[Any] = []
img2img_paste_fields: list[Any] = []
