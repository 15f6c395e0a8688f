"""The files of an archive under a path, loose or in zips, by the names that desktops and browsers give them.

A layout knows its files by name (`Names`). Letter case and gzip make no difference; a copy (`x (1).csv`,
`x - 副本.csv`) stands in for an original that is not there, and that is told; what nearly fits and is not read is told
too, many alike in one sentence. What systems hide (`._x`, `__MACOSX`) is nothing.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import itertools
import os
import re
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Generic, Protocol, TypeVar

from aqreanalysis import containers
from aqreanalysis.errors import BadFile
from aqreanalysis.observations.station_table import is_station_table
from aqreanalysis.tables import text

MOST_ZIPS = 2            # within each other: some downloads are zips with one inside
SHOWN_ALONE = 3          # files that are told one by one for one reason; more are counted
NEARLY = 0.8             # how much alike the letters of two names are (difflib's ratio)
_WORDS = "copy|copie|kopie|copia|копия|副本|复件|拷贝|复制|备份|コピー"
_COPY = (rf"(?:\s?\(\d{{1,3}}\)|\s?\((?:another |\d+\w\w )?(?:{_WORDS})(?: \d+)?\)"
         rf"|\s?[-_]?\s?的?(?:{_WORDS})(?:\s?\(?\d{{1,3}}\)?)?|\s\d{{1,2}}|_\d)")
_NAME = re.compile(rf"(?:(?:{_WORDS})\s?(?:\(\d+\))?\s?(?:of |de |von |di )?)?(?P<stem>.+?){_COPY}*"
                   rf"\.(?P<suffix>csv|txt|tsv|json)(?:\.(?:csv|txt|gz|\d{{1,2}})|{_COPY})*", re.IGNORECASE)
UNFINISHED = re.compile(r"(.+)\.(?:\w*part|partial|tmp|temp|crdownload|download|aria2|bak|old|orig|sw[op]|icloud|~)~?"
                         r"|(.+)~", re.IGNORECASE)
PACKED = re.compile(r".+\.(?:rar|7z|tar|tgz|tbz2?|txz|tar\.\w+|z\d\d|zipx|bz2|xz|zst|lz4|cab|iso)", re.IGNORECASE)
WORKBOOK = re.compile(r".+\.(?:xlsx?|xlsm|xlsb|ods|et|numbers)", re.IGNORECASE)
_TABLE = re.compile(r".+\.(?:csv|tsv|parquet|feather)(?:\.gz)?", re.IGNORECASE)
OF_STATIONS = "may have the places of stations, which are read from stations.csv or with --stations FILE, as CSV"
NO_NAME_OF_THE_LAYOUT = "a table under a name of no file of this layout; not read"
OTHER_ZIP = "a zip without a file named"
NO_DAY = "no day of the calendar in the name; not read"


@dataclass(frozen=True)
class FoundFile:
    """A file at `path`, or a member of the zip there, or of a zip in it."""

    path: Path
    members: tuple[containers.Member, ...] = ()

    @property
    def name(self) -> str:
        """Its path inside the zips, for messages."""
        return ":".join((self.path.name, *(member.name for member in self.members)))

    @property
    def base(self) -> str:
        """Its own name."""
        return PurePosixPath(self.members[-1].name).name if self.members else self.path.name

    def content(self, zips: Zips | None = None) -> bytes:
        """Its bytes, unpacked where they are gzip, whatever its name says; BadFile where it can't be read."""
        if self.members:
            with contextlib.nullcontext(zips) if zips else Zips() as opened:
                content = opened.member(self)
        elif self.path.is_file():
            try:
                content = self.path.read_bytes()
            except OSError as error:
                raise BadFile(f"{self.name} can't be read ({error.strerror or error})") from error
        else:
            raise BadFile(f"{self.name} can't be read (it is no file, or a link to nothing)")
        return containers.unpacked(content, self.name)


class Zips:
    """The zips that a run of files lies in, opened once: the directory of a year takes longer to read than a day."""

    def __init__(self):
        self._stack = contextlib.ExitStack()
        self._where: tuple[Path, tuple[containers.Member, ...]] | None = None
        self._opened: zipfile.ZipFile | None = None

    def __enter__(self) -> Zips:
        return self

    def __exit__(self, *exception) -> None:
        self._stack.close()

    def member(self, file: FoundFile) -> bytes:
        """The bytes of a member of a zip; BadFile where it can't be read."""
        where = (file.path, file.members[:-1])
        try:
            if self._where != where or self._opened is None:
                self._stack.close()
                self._where = None
                container = self._stack.enter_context(zipfile.ZipFile(file.path))
                for member in file.members[:-1]:
                    inside = io.BytesIO(containers.read_member(container, member, file.name))
                    container = self._stack.enter_context(zipfile.ZipFile(inside))
                self._where, self._opened = where, container
            return containers.read_member(self._opened, file.members[-1], file.name)
        except BadFile:
            raise
        except containers.DAMAGE as error:
            raise BadFile(f"{file.name} can't be read ({error})") from error


# --- what lies under a path ------------------------------------------------------------------------

def walk(path: Path) -> Iterator[FoundFile | str]:
    """Files under a path in order of their paths, a zip ahead of its members; a sentence for what can't be opened."""
    faults: list[str] = []
    for candidate in sorted(visible(path, faults)) if path.is_dir() else [path]:
        yield FoundFile(candidate)
        if is_zip(candidate.name) and candidate.is_file():
            yield from _in_zip(FoundFile(candidate), candidate)
    yield from faults


def is_zip(name: str) -> bool:
    """Whether a name is that of a zip."""
    return name.lower().endswith(".zip")


def visible(path: Path, faults: list[str]) -> Iterator[Path]:
    """Files under a folder, and under folders elsewhere that links in it name, each folder once."""
    def tell(error: OSError) -> None:
        faults.append(f"the folder {error.filename} can't be read ({error.strerror})")

    def is_new(folder: Path) -> bool:
        if not folder.is_symlink():
            return True
        real = folder.resolve()
        if any(real == one or real in one.parents or one in real.parents for one in walked):
            return False  # what is or holds a folder that is walked anyway: no loops, and nothing twice
        walked.append(real)
        return True

    walked = [path.resolve()]
    for folder, folders, names in os.walk(path, onerror=tell, followlinks=True):
        folders[:] = [name for name in sorted(folders) if not _is_hidden(name) and is_new(Path(folder, name))]
        yield from (Path(folder, name) for name in names if not _is_hidden(name))


def _is_hidden(name: str) -> bool:
    """Whether systems keep it for themselves; a placeholder of iCloud stands for a file that is not on the machine."""
    return (name.startswith(".") and not name.endswith(".icloud")) or name in ("__MACOSX", "lost+found")


def _in_zip(zip_: FoundFile, source: Path | io.BytesIO) -> Iterator[FoundFile | str]:
    try:
        with zipfile.ZipFile(source) as container:
            members, refused = containers.zip_members(container)
            yield from (f"{zip_.name}:{reason}" for reason in refused)
            for member in members:
                if any(map(_is_hidden, PurePosixPath(member.name).parts)):
                    continue
                file = FoundFile(zip_.path, (*zip_.members, member))
                yield file
                if is_zip(member.name) and len(zip_.members) < MOST_ZIPS - 1:
                    yield from _in_zip(file, io.BytesIO(containers.read_member(container, member, file.name)))
    except BadFile as error:
        yield str(error)
    except containers.DAMAGE as error:
        yield f"{zip_.name} is not a whole zip file ({error})"


# --- the names of a layout -------------------------------------------------------------------------

class Named(Protocol):
    """What is read from a file."""

    @property
    def file(self) -> FoundFile:
        """The file."""


class Placed(Named, Protocol):
    """A file of a layout."""

    @property
    def key(self) -> tuple:
        """What it holds, by its name: of two files with one key, one is read."""


@dataclass(frozen=True)
class Names:
    """How the files of a layout are named. Letter case makes no difference."""

    layout: str                  # in words, for messages
    own: str                     # a regular expression for the whole name, with `.csv`
    words: tuple[str, ...]       # the letters that a name of the layout begins with, without others between them
    loose: str = ""              # for names that are read as well, for they can mean nothing else

    def match(self, base: str) -> tuple[re.Match | None, bool]:
        """What a file's name says, and whether it is the layout's own (else that of a copy, or a loose one)."""
        plain = unicodedata.normalize("NFKC", base)
        own = re.fullmatch(self.own, plain[:-3] if plain.lower().endswith(".gz") else plain, re.IGNORECASE)
        if own or not (name := _NAME.fullmatch(plain)):
            return own, True
        plain = f"{name['stem'].strip()}.{'json' if name['suffix'].lower() == 'json' else 'csv'}"
        return (re.fullmatch(self.own, plain, re.IGNORECASE)
                or (re.fullmatch(self.loose, plain, re.IGNORECASE) if self.loose else None)), False

    def oddity(self, base: str) -> str:
        """Why a file that may be one of the layout, under a name that is not, is not read; "" for any other file."""
        name = unicodedata.normalize("NFKC", base)
        if unfinished := UNFINISHED.fullmatch(name.removeprefix(".")):
            inner = unfinished[1] or unfinished[2]
            if self.match(inner)[0] or is_zip(inner) or self._is_near(inner):
                return "an unfinished download or a backup by the name; not read"
        if PACKED.fullmatch(name):
            return "packed in a way that is not read (unpack it, or pack it as a zip)"
        if WORKBOOK.fullmatch(name) and self._is_near(name):
            return "a workbook, which is not read (save it as CSV)"
        named = _NAME.fullmatch(name)
        if self._is_near(name) and (_TABLE.fullmatch(name) or (named and named["suffix"].lower() != "json")):
            return f"nearly a name of this layout, not read (rename it to {self.layout} if it is one)"
        is_of_stations = "station" in name.lower() or "站点" in name
        if is_of_stations and not is_station_table(name) and (_TABLE.fullmatch(name) or WORKBOOK.fullmatch(name)):
            return OF_STATIONS
        if _TABLE.fullmatch(name) and not is_of_stations:
            return NO_NAME_OF_THE_LAYOUT
        return ""

    def _is_near(self, base: str) -> bool:
        letters = "".join(re.findall(r"[^\W\d_]+", base.partition(".")[0])).lower()
        return any(letters.startswith(word) or difflib.SequenceMatcher(None, letters, word).ratio() >= NEARLY
                   for word in self.words)


class Told:
    """Files by what is said of them: one by one where they are few, else counted, with an example."""

    def __init__(self):
        self._files: dict[str, list[str]] = {}

    def add(self, reason: str, name: str) -> None:
        """Say something of a file."""
        self._files.setdefault(reason, []).append(name)

    def sentences(self) -> list[str]:
        """One for each file, or for each reason that many have."""
        found = []
        for reason, names in self._files.items():
            found += ([f"{name}: {reason}" for name in names] if len(names) <= SHOWN_ALONE else
                      [f"{len(names)} files, for example {names[0]}: {reason}"])
        return found


T = TypeVar("T", bound=Placed)
F = TypeVar("F", bound=Named)


@dataclass
class Findings(Generic[T]):
    """What of a path is of a layout."""

    files: list[T]                    # to be read, in order of their keys
    broken: list[str]                 # a sentence for each file that can't be opened
    passed_over: list[str]            # for each that nearly fits and is not read
    notes: list[str]                  # for each that is read under another name
    repeated: list[tuple[T, T, bool]] = field(default_factory=list)  # not read; read for it; has the layout's own name

    def repeats(self, chosen: Callable[[T], bool], what: str) -> tuple[list[str], list[str]]:
        """Sentences on chosen files that hold what another file is read for: of those with own names, and of copies.

        `what` two files have in common, in a word. Their contents are compared.
        """
        found: dict[tuple[bool, bool], list[tuple[str, str]]] = {}
        for file, kept, is_own in self.repeated:
            if chosen(file):
                same = _have_same_content(file.file, kept.file)
                found.setdefault((is_own, same), []).append((file.file.name, kept.file.name))
        sentences: tuple[list[str], list[str]] = ([], [])
        for (is_own, same), pairs in sorted(found.items()):
            contents_ = "the same content" if same else "ANOTHER content"
            sentences[not is_own].extend(
                [f"{one} repeats the {what} of {kept}, which is read; it has {contents_}" for one, kept in pairs]
                if len(pairs) <= SHOWN_ALONE else
                [f"{len(pairs)} files repeat a {what} of another that is read, for example {pairs[0][0]} that of "
                 f"{pairs[0][1]}; they have {contents_}"])
        return sentences


def _have_same_content(one: FoundFile, other: FoundFile) -> bool:
    try:
        return one.content() == other.content()
    except BadFile:
        return False


def collect(path: Path, names: Names, placed: Callable[[FoundFile, re.Match], T | str]) -> Findings[T]:
    """The files of a layout under a path.

    Parameters
    ----------
    placed : the file of the layout for one whose name fits, or in words why it is none.
    """
    broken: list[str] = []
    passed_over, notes = Told(), Told()
    found: dict[tuple, list[tuple[bool, T]]] = {}
    zips: dict[Path, bool] = {}      # whether there is a file of the layout in it
    for file in walk(path):
        if isinstance(file, str):
            broken.append(file)
            continue
        match, is_own = names.match(file.base)
        one = placed(file, match) if match else names.oddity(file.base)
        if isinstance(one, str):
            if one:
                passed_over.add(one, file.name)
            elif is_zip(file.base) and not file.members:
                zips.setdefault(file.path, False)
            continue
        zips[file.path] = True
        found.setdefault(one.key, []).append((not is_own, one))
    for zip_ in [zip_ for zip_, is_used in zips.items() if not is_used and not _is_named(zip_, broken)]:
        passed_over.add(f"{OTHER_ZIP} {names.layout}", zip_.name)
    findings: Findings[T] = Findings([], broken, [], [])
    for key in sorted(found):
        (is_other, first), *rest = _by_use(found[key])
        findings.files.append(first)
        findings.repeated += [(one, first, not other) for other, one in rest]
        if is_other:
            notes.add(f"read as a {names.layout}", first.file.name)
    findings.passed_over, findings.notes = passed_over.sentences(), notes.sentences()
    return findings


def _by_use(files: list[tuple[bool, T]]) -> list[tuple[bool, T]]:
    """Files of one key, the one to be read first: no failed download, then one with the layout's own name."""
    return files if len(files) == 1 else sorted(files, key=lambda pair: (_is_no_text(pair[1].file), pair[0]))


def _is_no_text(file: FoundFile) -> bool:
    try:
        text.check_kind(file.name, file.content()[:text.SAMPLE_BYTES])
    except BadFile:
        return True
    return False


def _is_named(zip_: Path, sentences: Iterable[str]) -> bool:
    return any(sentence.startswith(zip_.name) for sentence in sentences)


def holds(path: Path, names: Names, placed: Callable[[FoundFile, re.Match], T | str]) -> bool:
    """Whether there is a file of a layout under a path; looks no further than the first."""
    for file in walk(path):
        if not isinstance(file, str):
            match, _ = names.match(file.base)
            if match and not isinstance(placed(file, match), str):
                return True
    return False


def contents(files: Iterable[F]) -> Iterator[tuple[F, bytes | BadFile]]:
    """Each file with its bytes, or with what is wrong; its zip is opened once for its run of files."""
    for _, run in itertools.groupby(files, key=lambda one: (one.file.path, one.file.members[:-1])):
        with Zips() as zips:
            for one in run:
                try:
                    yield one, one.file.content(zips)
                except BadFile as error:
                    yield one, error


def seen(path: Path) -> str:
    """What lies under a path, by kinds of files, for the message that none of it can be read."""
    kinds: dict[str, list[str]] = {}
    for file in walk(path):
        if not isinstance(file, str):
            base = file.base.lower()
            suffix = ".csv.gz" if base.endswith(".csv.gz") else PurePosixPath(base).suffix
            kinds.setdefault(f"*{suffix}" if suffix else "without a suffix", []).append(file.name)
    most = sorted(kinds.items(), key=lambda item: -len(item[1]))
    parts = [f"{len(names)} {kind} ({names[0]}{', ...' * (len(names) > 1)})" for kind, names in most[:5]]
    return "; ".join(parts + ["..."] * (len(most) > 5)) or "nothing"
