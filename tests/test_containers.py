"""Zips and gzip files from elsewhere: what they may hold, and how much."""

import gzip
import io
import stat
import struct
import zipfile
import zlib

import pytest

from aqreanalysis import containers
from aqreanalysis.errors import BadFile

TEXT = b"date,hour\n20190101,0\n"


def packed(*entries, **details):
    """A zip in memory with members of these names, all of one text; details are set on each entry."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as container:
        for name in entries:
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            for key, value in details.items():
                setattr(entry, key, value)
            container.writestr(entry, TEXT)
    return zipfile.ZipFile(buffer)


@pytest.mark.parametrize("name", ["../a.csv", "b/../../a.csv", "/etc/a.csv", "C:/a.csv", "c:a.csv", "..\\..\\a.csv",
                                  "\\\\server\\share\\a.csv", "\\a.csv", "b/../a.csv", "C:\\a.csv"])
def test_members_that_point_out_of_a_zip_are_told_and_left_out(name):
    """Relative, absolute, with a drive, of another machine; with either slash."""
    members, refused = containers.zip_members(packed(name, "good.csv"))
    assert [member.name for member in members] == ["good.csv"]
    assert refused == [f"{name.replace(chr(92), '/')} points out of the zip"]


@pytest.mark.parametrize("details, reason", [
    ({"external_attr": (stat.S_IFLNK | 0o777) << 16}, "is a link"),
    ({"external_attr": (stat.S_IFCHR | 0o666) << 16}, "is a device"),
    ({"external_attr": (stat.S_IFIFO | 0o666) << 16}, "is a pipe")])
def test_members_that_are_no_files_are_told_and_left_out(details, reason):
    assert containers.zip_members(packed("a.csv", **details)) == ([], [f"a.csv {reason}"])


@pytest.mark.parametrize("name", ["NUL", "b/con.csv", "LPT1.csv", "aux"])
def test_members_named_as_devices_are_left_out(name):
    assert containers.zip_members(packed(name)) == ([], [f"{name} is named as a device"])


def test_a_member_without_a_name_is_left_out():
    members, refused = containers.zip_members(packed("a.csv", filename=""))
    assert members == [] and refused == [" a member without a name"]


def test_an_encrypted_member_is_told():
    content = bytearray(packed("a.csv").fp.getvalue())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert containers.zip_members(zipfile.ZipFile(io.BytesIO(content))) == ([], ["a.csv is encrypted"])


@pytest.mark.parametrize("encoding", ["gbk", "utf-8"])
def test_names_of_other_systems_are_read(encoding):
    r"""`\` for "/"; Chinese without the mark for UTF-8, also where the second byte of a letter is a `\` in GBK."""
    chinese = "大昞/北京_20190101.csv"
    raw = chinese.replace("/", "\\").encode(encoding)
    stand_in = b"x" * len(raw)
    content = packed(stand_in.decode()).fp.getvalue().replace(stand_in, raw)
    (member,), refused = containers.zip_members(zipfile.ZipFile(io.BytesIO(content)))
    assert member.name == chinese and not refused
    assert chinese[1].encode("gbk") == b"\x95\\"


def test_folders_are_no_members_and_a_name_may_begin_with_dots():
    members, refused = containers.zip_members(packed("b/", "b\\", "./b/a.csv", "..a/b.csv", "a..csv"))
    assert [member.name for member in members] == ["..a/b.csv", "a..csv", "b/a.csv"] and not refused


def test_bytes_come_back_as_they_were_put_in():
    container = packed("a.csv")
    (member,), _ = containers.zip_members(container)
    assert containers.read_member(container, member, "a.csv") == TEXT
    assert containers.gunzip(gzip.compress(TEXT, mtime=0), "a.gz") == TEXT


def test_blanks_that_shrink_a_thousandfold_are_read_where_they_are_few(tmp_path):
    blanks = b"," * (8 << 20)
    content = gzip.compress(blanks, mtime=0)
    assert len(blanks) > 900 * len(content)
    assert containers.gunzip(content, "a.gz") == blanks
    (tmp_path / "a.gz").write_bytes(content)
    with containers.open_gzip(tmp_path / "a.gz") as stream:
        assert stream.read() == blanks


def bomb(mib):
    """A gzip file of zeros, made of one compressed block that is repeated: no time and no memory."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(b"\0" * (8 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    last = zlib.compressobj(9, zlib.DEFLATED, -15).flush()
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block * (mib // 8) + last + b"\0" * 8


def test_bombs_are_refused_as_soon_as_they_show(tmp_path):
    """Zeros end at the first MiB that is out of proportion."""
    content = bomb(128)
    assert len(content) < 200_000
    with pytest.raises(BadFile, match="made to fill a memory"):
        containers.gunzip(content, "bomb.gz")
    (tmp_path / "bomb.csv.gz").write_bytes(content)
    with pytest.raises(BadFile, match="bomb.csv.gz unpacks .* made to fill"), \
            containers.open_gzip(tmp_path / "bomb.csv.gz") as stream:
        while stream.read(1 << 20):
            pass


def test_a_zip_that_says_to_hold_far_more_than_text_is_refused_unread():
    """A terabyte by its directory; and no member gives more than the directory says."""
    content = bytearray(packed("a.csv").fp.getvalue())
    size = content.index(b"PK\x01\x02") + 24
    content[size: size + 4] = struct.pack("<I", 0xFFFFFFF0)
    with pytest.raises(BadFile, match="the zip inside unpacks .* 4,095 MiB"):
        containers.zip_members(zipfile.ZipFile(io.BytesIO(content)))
    content[size: size + 4] = struct.pack("<I", 4)  # less than it holds
    container = zipfile.ZipFile(io.BytesIO(content))
    (member,), _ = containers.zip_members(container)
    with pytest.raises(BadFile, match=r"damaged \(Bad CRC"):
        containers.read_member(container, member, "a.csv")


def test_more_than_a_memory_takes_is_refused_at_any_ratio():
    with pytest.raises(BadFile, match="more than 0 MiB: it has to be split"):
        containers.gunzip(gzip.compress(TEXT, mtime=0), "a.gz", most=10)


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", gzip.compress(TEXT, mtime=0)[:-9], b"no gzip at all",
                                     b"\x1f\x8b" + b"\0" * 9])
def test_damaged_gzip_is_a_bad_file(content, tmp_path):
    if content:
        with pytest.raises(BadFile, match="damaged or truncated gzip"):
            containers.gunzip(content, "a.gz")
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(BadFile, match="damaged or truncated gzip") if content else pytest.raises(AssertionError), \
            containers.open_gzip(tmp_path / "a.gz") as stream:
        assert stream.read()
