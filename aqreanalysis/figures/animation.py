"""Pictures that follow each other: as a GIF, or as MP4 where the program ffmpeg is installed.

The same frames give the same bytes of a GIF: its colours are the most frequent ones of the first frame.
"""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aqreanalysis import files
from aqreanalysis.errors import UserError
from aqreanalysis.figures.fonts import make_legible
from aqreanalysis.figures.identity import NO_IDENTITY, Identity

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GIF, MP4 = MOVIES = (".gif", ".mp4")
FRAME_DPI, LAST_FRAME = 100, 4  # the last frame of a GIF is shown as long as so many
COLOURS, NEARLY_WHITE = 256, 250


def check_movie_name(path: Path) -> None:
    """A UserError unless frames can be written under this name, on this machine."""
    if path.suffix.lower() not in MOVIES:
        raise UserError(f"{path} ends in {path.suffix or 'nothing'}.", "An animation is a .gif or a .mp4.",
                        f"Name it {path.with_suffix('.gif').name}.")
    if path.is_dir():
        raise UserError(f"{path} is a folder.", "An animation is a file.", f"Name one in it, as {path / 'a.gif'}.")
    if path.suffix.lower() == MP4 and shutil.which("ffmpeg") is None:
        raise UserError(f"{path} can't be made here: there is no program ffmpeg.", "MP4 is written by ffmpeg.",
                        "Install it (apt install ffmpeg, or conda install ffmpeg), or name a .gif.")


def save_movie(figures: Iterable[Figure], path: Path, per_second: float = 4.0,
               identity: Identity = NO_IDENTITY) -> Path:
    """Write figures as frames, so many a second; the file is complete or not there. One figure is held at a time.

    Raises UserError for a name that :func:`check_movie_name` refuses.
    """
    check_movie_name(path)
    with files.whole(path, "choose another folder.") as part:
        if path.suffix.lower() == GIF:
            _write_gif(figures, part, per_second, identity)
        else:
            _write_mp4(figures, part, per_second, identity)
    return path


def _write_gif(figures: Iterable[Figure], part: Path, per_second: float, identity: Identity) -> None:
    from PIL import Image

    frames: list[Any] = []
    palette = None
    for figure in figures:
        image = Image.open(io.BytesIO(_png(figure))).convert("RGB")
        palette = palette or _palette(image)
        frames.append(image.quantize(COLOURS, palette=palette, dither=Image.Dither.NONE))
    if not frames:
        raise ValueError("an animation has at least one frame")
    milliseconds = round(1000 / per_second)
    frames[0].save(part, format="GIF", save_all=True, append_images=frames[1:], loop=0, optimize=False,
                   duration=[milliseconds] * (len(frames) - 1) + [LAST_FRAME * milliseconds],
                   comment=identity.text.encode("utf-8"))


def _palette(image: Any) -> Any:
    """An image with the most frequent colours of another, those that are nearly white as white.

    Steps of a scale are even areas, of the bar at least, and so keep their colours, which a median cut would mix.
    """
    from PIL import Image

    frequent = sorted(image.getcolors(image.width * image.height), reverse=True)[:COLOURS]
    colours = np.array([colour for _, colour in frequent])
    colours[(colours >= NEARLY_WHITE).all(axis=1)] = 255
    found = Image.new("P", (1, 1))
    found.putpalette(colours.ravel().tolist())
    return found


def _write_mp4(figures: Iterable[Figure], part: Path, per_second: float, identity: Identity) -> None:
    """Through a pipe; both sides even, as H.264 with 4:2:0 wants them."""
    command = ["ffmpeg", "-y", "-loglevel", "error", "-f", "image2pipe", "-framerate", f"{per_second:g}", "-c:v", "png",
               "-i", "-", "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-c:v", "libx264", "-pix_fmt", "yuv420p",
               "-metadata", f"title={identity.title}", "-metadata", f"comment={identity.text}", "-fflags", "+bitexact",
               "-f", "mp4", str(part)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdin is not None and running.stderr is not None
        try:
            for figure in figures:
                running.stdin.write(_png(figure))
            running.stdin.close()
        except BrokenPipeError:
            pass  # what it says follows
        said = running.stderr.read().decode("utf-8", "replace").strip()
    if running.returncode:
        raise UserError(f"ffmpeg could not write {part.name}: {said or f'it ended with {running.returncode}'}.",
                        "MP4 is written by ffmpeg with libx264.", "Name a .gif instead.")


def _png(figure: Figure) -> bytes:
    target = io.BytesIO()
    make_legible(figure)
    figure.savefig(target, format="png", dpi=FRAME_DPI, metadata={"Software": None})
    return target.getvalue()
