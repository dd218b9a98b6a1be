# SPDX-License-Identifier: Apache-2.0
"""Signs that stand beside words: drawn as strokes on a 24 by 24 grid, in the colour of the text."""

from types import MappingProxyType

from markupsafe import Markup

_CIRCLE = "M12 3.5a8.5 8.5 0 1 0 0 17 8.5 8.5 0 1 0 0-17z"
_SHIELD = "M12 3l7 3v6c0 4.5-3 7.7-7 9-4-1.3-7-4.5-7-9V6z"

ICONS = MappingProxyType(
    {
        "alert": "M12 4 21 19.5H3zM12 10v4.5M12 17.2v.1",
        "arrow-down": "M12 5v14M6 13l6 6 6-6",
        "arrow-up": "M12 19V5M6 11l6-6 6 6",
        "building": "M4 21V8l8-5 8 5v13M9 21v-6h6v6M9 10.5h.1M14.9 10.5h.1M2.5 21h19",
        "card": ""
        "M5 5h14a2.5 2.5 0 0 1 2.5 2.5v9A2.5 2.5 0 0 1 19 19H5a2.5 2.5 0 0 1-2.5-2.5v-9A2.5 2.5 0 0 1 5 5z"
        "M6.5 10h4v4h-4zM14 10h4M14 14h4",
        "chart": "M4 4v16h16M7.5 15l4-5 3 3 5-6.5",
        "check": "M5 12.5l4.5 4.5L19.5 7",
        "chevron-down": "M6 9.5l6 6 6-6",
        "chevron-left": "M14.5 6l-6 6 6 6",
        "chevron-right": "M9.5 6l6 6-6 6",
        "circle": "M12 4a8 8 0 1 0 0 16 8 8 0 1 0 0-16z",
        "clock": _CIRCLE + "M12 7.5V12l3 2.5",
        "copy": "M9 9h10.5v11.5H9zM15 9V3.5H4.5V15H9",
        "cross": "M6.5 6.5l11 11M17.5 6.5l-11 11",
        "download": "M12 4v11M7 10.5l5 5 5-5M4.5 20h15",
        "empty": "M4 13.5 6.5 5h11L20 13.5V19H4zM4 13.5h4.5l1.5 2.5h4l1.5-2.5H20",
        "eye": "M2.5 12s3.5-6.5 9.5-6.5S21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12z"
        "M12 9.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 1 0 0-5.6z",
        "file": "M6 2.5h8l4.5 4.5v14.5H6zM14 2.5V7h4.5M9 12h6M9 16h6",
        "home": "M3 11l9-7 9 7v9.5H3zM9.5 20.5v-6h5v6",
        "info": _CIRCLE + "M12 11v5.5M12 7.7v.1",
        "key": "M8 11.5a4 4 0 1 0 0 8 4 4 0 1 0 0-8zM11 12.7 20 4M16.5 7.5l3 3",
        "language": _CIRCLE + "M3.5 12h17M12 3.5c-5 5-5 12 0 17 5-5 5-12 0-17z",
        "link": "M10 14a4 4 0 0 0 6 .4l3-3a4 4 0 0 0-5.7-5.7L12 7M14 10a4 4 0 0 0-6-.4l-3 3a4 4 0 0 0 5.7 5.7L12 17",
        "dark": "M20 14.5A8.5 8.5 0 0 1 9.5 4 8.5 8.5 0 1 0 20 14.5z",
        "light": "M12 8a4 4 0 1 0 0 8 4 4 0 1 0 0-8zM12 2.5V5M12 19v2.5M2.5 12H5M19 12h2.5M5.3 5.3 7 7"
        "M17 17l1.7 1.7M5.3 18.7 7 17M17 7l1.7-1.7",
        "minus": "M5.5 12h13",
        "pause": "M8.5 6v12M15.5 6v12",
        "phone": "M7 2.5h10v19H7zM10.8 18.4h2.4",
        "print": "M7 9V3.5h10V9M7 17H3.5V9h17v8H17M7 14h10v6.5H7z",
        "question": _CIRCLE + "M9.5 9.5a2.5 2.5 0 1 1 3.7 2.2c-.8.5-1.2 1-1.2 2M12 16.5v.1",
        "search": "M10.5 4a6.5 6.5 0 1 0 0 13 6.5 6.5 0 1 0 0-13zM15.5 15.5l5 5",
        "shield": _SHIELD,
        "shield-alert": _SHIELD + "M12 8v4.5M12 15.7v.1",
        "shield-check": _SHIELD + "M8.5 12l2.5 2.5 4.5-5",
        "shield-question": _SHIELD + "M10 9.7a2 2 0 1 1 3 1.7c-.7.4-1 .8-1 1.6M12 15.7v.1",
        "stop": "M8 3h8l5 5v8l-5 5H8l-5-5V8zM8.5 8.5l7 7M15.5 8.5l-7 7",
        "system": "M3.5 4.5h17v11.5h-17zM9 20h6M12 16v4",
        "table": "M3.5 5h17v14h-17zM3.5 10h17M3.5 14.5h17M9.5 10v9",
        "user": "M12 4a4 4 0 1 0 0 8 4 4 0 1 0 0-8zM4.5 20.5c1-4 4-5.5 7.5-5.5s6.5 1.5 7.5 5.5",
    }
)


def icon(name: str, classes: str = "") -> Markup:
    """One sign as inline SVG, hidden from screen readers: the word beside it says the same.

    Args:
        name: A key of `ICONS`.
        classes: Further classes, separated by spaces.

    Raises:
        KeyError: No sign has that name.
    """
    return Markup(
        '<svg class="icon {}" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d="{}"/></svg>'
    ).format(classes, ICONS[name])
