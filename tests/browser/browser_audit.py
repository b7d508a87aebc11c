"""Looks at a page as many people would: any of them may be unable to see, to point, or to turn the phone round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SCREENSHOTS = Path(__file__).parent / "screenshots"  # not in git: to be looked at
SIZES = {"phone": (390, 844), "desktop": (1280, 800)}
NARROW = (360, 740)
_SCRIPT = (Path(__file__).parent / "audit.js").read_text("utf-8")
_FOCUS = (Path(__file__).parent / "focus.js").read_text("utf-8")


async def audit(tab: Any, name: str) -> list[str]:
    """What is wrong with the page in `tab`, in both colour schemes; leaves pictures of it in `screenshots/`."""
    wrong: list[str] = []
    SCREENSHOTS.mkdir(exist_ok=True)
    for scheme in ("light", "dark"):
        await tab.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        wrong += [f"{name}, {scheme}: {text}" for text in await tab.evaluate(f"({_SCRIPT})()")]
        for size, (width, height) in SIZES.items():
            await tab.set_viewport_size({"width": width, "height": height})
            await tab.screenshot(path=SCREENSHOTS / f"{name}-{size}-{scheme}.png", full_page=True)
    width, height = NARROW
    await tab.set_viewport_size({"width": width, "height": height})
    too_wide = await tab.evaluate("document.documentElement.scrollWidth - innerWidth")
    if too_wide > 0:
        wrong.append(f"{name}: {too_wide} px too wide at {width}")
    await tab.set_viewport_size({"width": 1280, "height": 800})
    await tab.emulate_media(color_scheme="light")
    return wrong


async def press_to(tab: Any, name: str, most: int = 30) -> None:
    """Tab until the focus is on `name`; at each stop it can be seen where the focus is."""
    seen: list[str] = []
    for _ in range(most):
        await tab.keyboard.press("Tab")
        here = await tab.evaluate(_FOCUS)
        seen.append(here["name"])
        assert here["visible"], f"no visible focus on {here['name']!r}"
        assert here["inside"], f"the focus on {here['name']!r} is outside of the window"
        if name in here["name"]:
            return
    raise AssertionError(f"{name!r} cannot be reached by keyboard; the stops are {seen}")
