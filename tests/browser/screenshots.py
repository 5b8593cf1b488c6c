"""Take the pictures of the console that are in docs/console, from the demonstration as it runs.

::

    .venv/bin/python -m tests.browser.screenshots            into docs/console
    .venv/bin/python -m tests.browser.screenshots FOLDER

Each page at three widths, light and dark: ``request-1440-light.png``. Look at them before you keep them.
"""

import base64
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import FloatRect, Locator, Page

from rehearsal.console.demo import RunningConsole, open_console
from tests.browser import chromium
from tests.browser.scenes import fullest_day

DOCS = Path("docs/console")

WIDTHS = (1440, 768, 320)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

# Of a long page, as much as is looked at: what is decided on, and some of the evidence.
TALLEST = 1600

# What stands beside a part of a page: half of a card's padding at 320 pixels.
MARGIN = 12

COLOURS = 256


def take(folder: Path) -> Iterator[Path]:
    """Take all pictures; yield each file."""
    folder.mkdir(parents=True, exist_ok=True)
    # Text whose edges have the colours of a screen's subpixels is right on that screen only.
    with open_console() as running, chromium.started("--disable-lcd-text") as browser:
        painter = browser.new_page()
        for width in WIDTHS:
            page = browser.new_context(reduced_motion="reduce").new_page()
            page.set_viewport_size({"width": width, "height": 560})
            page.goto(running.url)
            yield from _shot(page, painter, folder / f"signed-out-{width}")
            page.get_by_role("link", name="Sign in").click()
            page.get_by_role("button", name="Alice").click()
            page.wait_for_url(f"{running.url}/")
            for name, address in _addresses(running, page).items():
                page.goto(f"{running.url}{address}")
                yield from _shot(page, painter, folder / f"{name}-{width}")
                if name == "request":
                    evidence = page.get_by_role("article").filter(has=page.get_by_role("figure"))
                    yield from _shot(page, painter, folder / f"evidence-{width}", of=evidence.first)


def _addresses(running: RunningConsole, page: Page) -> dict[str, str]:
    """Return what there is to see, by the pictures' names."""
    deployment = running.deployment("shop/catalog").arn
    return {
        "pending": "/",
        "request": f"/requests/{deployment.cluster}/{deployment.service}/{deployment.id}/step-from-10",
        "history": fullest_day(running.url, page),
    }


def _shot(page: Page, painter: Page, name: Path, *, of: Locator | None = None) -> Iterator[Path]:
    """Take a page in each scheme, from its top; or one part of it."""
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        whole = page.screenshot(full_page=True, clip=_around(of) if of else _top(page))
        path = Path(f"{name}-{scheme}.png")
        path.write_bytes(_png(_pixels(painter, whole)))
        yield path


def _top(page: Page) -> FloatRect:
    width, height = page.evaluate("[innerWidth, document.documentElement.getBoundingClientRect().height]")
    return FloatRect(x=0, y=0, width=width, height=min(int(height), TALLEST))


def _around(part: Locator) -> FloatRect:
    """Return where a part of a page is, with some of what is beside it; not of what is above and below."""
    box = part.bounding_box()
    assert box
    return FloatRect(
        x=int(box["x"]) - MARGIN,
        y=int(box["y"]) + 1,
        width=int(box["width"]) + 2 * MARGIN,
        height=int(box["height"]) - 1,
    )


# The browser decodes what it has encoded.
_DECODE = """async picture => {
    const image = await createImageBitmap(await (await fetch(`data:image/png;base64,${picture}`)).blob());
    const canvas = new OffscreenCanvas(image.width, image.height), pen = canvas.getContext('2d');
    pen.drawImage(image, 0, 0);
    const bytes = new Uint8Array(pen.getImageData(0, 0, image.width, image.height).data.buffer);
    let text = '';
    for (let at = 0; at < bytes.length; at += 32768) {
        text += String.fromCharCode(...bytes.subarray(at, at + 32768));
    }
    return [image.width, image.height, btoa(text)];
}"""


def _pixels(painter: Page, picture: bytes) -> NDArray[np.int64]:
    """Return a picture as rows of 0xRRGGBB."""
    width, height, data = painter.evaluate(_DECODE, base64.b64encode(picture).decode())
    rgba = np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4).astype(np.int64)
    return rgba[:, :, 0] << 16 | rgba[:, :, 1] << 8 | rgba[:, :, 2]


def _png(pixels: NDArray[np.int64]) -> bytes:
    """Write a picture with a palette: a third of the size, and to the eye the same.

    Colours that are rare, such as those at the edges of letters, become the nearest of the frequent ones.
    Source: https://www.w3.org/TR/png-3/
    """
    height, width = pixels.shape
    colours, which, counts = np.unique(pixels, return_inverse=True, return_counts=True)
    frequent = np.sort(np.argsort(counts)[::-1][:COLOURS])
    channels = np.stack([colours >> 16 & 255, colours >> 8 & 255, colours & 255], axis=1).astype(np.int32)
    palette = channels[frequent]
    nearest = np.array([np.argmin(((palette - colour) ** 2).sum(axis=1)) for colour in channels], np.uint8)
    rows = nearest[which].reshape(height, width)
    unfiltered = np.zeros((height, width + 1), np.uint8)
    unfiltered[:, 1:] = rows
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", palette.astype(np.uint8).tobytes()),
            _chunk(b"IDAT", zlib.compress(unfiltered.tobytes(), 9)),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def main() -> None:
    total = 0
    for path in take(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS):
        total += path.stat().st_size
        sys.stderr.write(f"{path}: {path.stat().st_size // 1000} kB\n")
    sys.stderr.write(f"{total // 1000} kB in all\n")


if __name__ == "__main__":
    main()
