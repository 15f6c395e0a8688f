"""Locks and writing: one holder at a time, a kill sets free, and removing the file lets no second one in."""

import errno
import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from aqreanalysis import files
from aqreanalysis.errors import UserError

REFUSAL = UserError("Busy.", "One at a time.", "Wait.")
HOLD = """
import sys, time
from pathlib import Path
from aqreanalysis import files
from aqreanalysis.errors import UserError
with files.held(Path(sys.argv[1]), UserError("Busy.")):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def lock(tmp_path):
    return tmp_path / "folder" / ".lock"


def test_a_lock_makes_its_folder_refuses_others_and_leaves_nothing(lock):
    with files.held(lock, REFUSAL):
        with pytest.raises(UserError) as caught:
            with files.held(lock, REFUSAL):
                pass
        assert caught.value is REFUSAL and lock.exists()
    assert list(lock.parent.iterdir()) == []
    with files.held(lock, REFUSAL):
        pass


def test_it_is_let_go_when_the_work_fails(lock):
    with pytest.raises(ZeroDivisionError):
        with files.held(lock, REFUSAL):
            raise ZeroDivisionError
    assert list(lock.parent.iterdir()) == []


def test_another_process_is_refused_until_the_holder_is_killed(lock):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, text=True,
                              env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="Busy"):
            with files.held(lock, REFUSAL):
                pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert lock.exists(), "a kill leaves the file, which is not what holds"
    with files.held(lock, REFUSAL):
        pass


def test_who_opened_the_file_before_it_was_removed_does_not_hold_it(lock, monkeypatch):
    """A opens the file; B, its holder, removes it and goes; C makes and holds a new one: A must be refused."""
    lock.parent.mkdir()
    real, stage = fcntl.flock, []

    def flock(stream, how):
        if not stage:  # A has opened what B is about to remove
            stage.append("removed")
            lock.unlink()
            stage.append(lock.open("a"))
            real(stage[1], fcntl.LOCK_EX)
        return real(stream, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(UserError, match="Busy"):
        with files.held(lock, REFUSAL):
            pass
    stage[1].close()


def test_no_two_hold_it_at_once_however_often_it_changes_hands(lock):
    holders, most, errors = [], [], []

    def work():
        taken = 0
        while taken < 50:
            try:
                with files.held(lock, REFUSAL):
                    holders.append(1)
                    most.append(len(holders))
                    holders.pop()
                    taken += 1
            except UserError as error:
                if error is not REFUSAL:
                    errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and len(most) == 200 and set(most) == {1}


def test_a_folder_that_can_not_be_written_is_told_with_its_cure(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="could not be written.*Move it away, or give another"):
        with files.held(tmp_path / "file" / ".lock", REFUSAL, "give another."):
            pass


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_without_locks_is_named_and_a_file_keeps_others_out(lock, monkeypatch, caplog, number):
    def flock(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with files.held(lock, REFUSAL):
        assert os.strerror(number) in caplog.text and str(lock.parent) in caplog.text
        with pytest.raises(UserError, match="Busy. One at a time. Wait. If there is none, delete .*.lock.taken"):
            with files.held(lock, REFUSAL):
                pass
    assert list(lock.parent.iterdir()) == []
    with files.held(lock, REFUSAL):
        pass


def test_a_file_has_its_name_only_when_the_block_has_ended(tmp_path):
    path = tmp_path / "new" / "table.csv"
    with files.whole(path) as part:
        part.write_text("all of it")
        assert not path.exists() and part.parent == path.parent and part.name.startswith(".")
    assert path.read_text() == "all of it" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("fault, raised", [(ZeroDivisionError(), ZeroDivisionError),
                                           (OSError(errno.ENOSPC, "No space left on device"), UserError)])
def test_a_block_that_fails_leaves_what_was_there(tmp_path, fault, raised):
    path = tmp_path / "table.csv"
    path.write_text("before")
    with pytest.raises(raised) as caught:
        with files.whole(path, "choose another.") as part:
            part.write_text("half")
            raise fault
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]
    if raised is UserError:
        assert "No space left" in caught.value.problem and caught.value.fix == "Free space, or choose another."


def test_a_file_in_the_place_of_its_folder_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="table.csv could not be written"):
        files.replace_text(tmp_path / "file" / "table.csv", "text")


def test_temporary_names_are_hidden_and_of_one_process(tmp_path):
    path = tmp_path / "table.csv"
    assert files.part_name(path).name.startswith(".table.csv.part-")
    assert files.part_name(path).name.endswith(f"-{os.getpid()}") and files.part_name(path).parent == tmp_path
    assert files.shared_part_name(path) == tmp_path / ".table.csv.part"


@pytest.mark.parametrize("name", [".a.nc.part-here-12", ".a.nc.part", ".a.nc.part4711", ".a.nc.part-here-12-x3_k9"])
def test_what_killed_processes_left_is_removed_under_old_names_too(tmp_path, name):
    kept = {"a.nc", ".a.nc.lock", ".a.nc.partial", "a.nc.part"}
    for other in (*kept, name, name.replace("a.nc", "b.nc")):
        (tmp_path / other).write_text("half")
    (tmp_path / ".store.zarr.part").mkdir()
    assert files.remove_leftovers(tmp_path, "a.nc") == 1 and not (tmp_path / name).exists()
    assert files.remove_leftovers(tmp_path) == 1
    assert {path.name for path in tmp_path.iterdir()} == kept | {".store.zarr.part"}, "a store in the making stays"


def test_folders_that_killed_processes_left_are_removed(tmp_path):
    for name in (".a.nc.part-here-12-x3_k9abc", ".a.nc.partx3_k9abc"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.npz").write_text("half")
    assert files.remove_leftovers(tmp_path) == 2 and not list(tmp_path.iterdir())


def refused(path, error):
    """What becomes of an error in a block that writes."""
    with pytest.raises(Exception) as caught:
        with files.writing(path, "choose another."):
            raise error
    return caught.value


@pytest.mark.parametrize("error", [
    RuntimeError("broken"), RuntimeError("NetCDF: HDF error"), RuntimeError("NetCDF: Index exceeds dimension bound"),
    ValueError("broken"), ConnectionResetError(104, "Connection reset by peer"), OSError("not a picture"),
    FileNotFoundError(2, "No such file or directory", "/elsewhere/font.ttf"),
    PermissionError(13, "Permission denied", "/elsewhere/a")])
def test_a_fault_of_ours_is_not_blamed_on_the_disk(tmp_path, monkeypatch, error):
    monkeypatch.setattr(files, "SCARCE_BYTES", 0)  # whatever the disk of the tests
    assert refused(tmp_path / "a.nc", error) is error
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_was_never_written_is_a_fault_of_ours(tmp_path):
    with pytest.raises(FileNotFoundError):
        with files.whole(tmp_path / "a.csv"):
            pass


@pytest.mark.parametrize("number, words", [
    (errno.ENOSPC, "bytes are free.*Free space, or choose another"),
    (errno.EDQUOT, "Free some of your quota, or choose"),
    (errno.EROFS, "mounted read-only.*Have it mounted for writing, or choose"),
    (errno.EACCES, "Get permission to write there, or choose"), (errno.EIO, "Have it checked, or choose")])
def test_each_error_of_the_system_has_its_own_fix(tmp_path, number, words):
    error = refused(tmp_path / "a.nc", OSError(number, os.strerror(number), str(tmp_path / "a.nc")))
    assert isinstance(error, UserError) and re.search(words, str(error))
    assert ("Free" in error.fix) == (number in (errno.ENOSPC, errno.EDQUOT))
    in_words = refused(tmp_path / "a.nc", RuntimeError(os.strerror(number)))  # as netCDF raises it
    assert (in_words.rule, in_words.fix) == (error.rule, error.fix)


@pytest.mark.parametrize("error", [RuntimeError("NetCDF: HDF error"), OSError("4096 requested and 1024 written"),
                                   PermissionError(13, "Permission denied", "a.nc")])
def test_an_error_that_hides_its_cause_has_that_of_the_folder(tmp_path, error, monkeypatch):
    """A real limit on the size of files, as a full disk is for root too."""
    resource = pytest.importorskip("resource")
    monkeypatch.chdir(tmp_path)
    before, heeded = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    try:
        found = refused(tmp_path / "a.nc", error)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, heeded)
    assert isinstance(found, UserError) and "File too large" in found.problem and "ulimit -f" in found.fix
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_was_full_a_moment_ago(tmp_path, monkeypatch):
    """Other workers have removed their files before the folder is tried."""
    monkeypatch.setattr(files, "SCARCE_BYTES", 1 << 60)
    assert "Free space" in refused(tmp_path / "a.nc", RuntimeError("NetCDF: HDF error")).fix


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no /proc")
@pytest.mark.parametrize("path", ["/proc/x.csv", "/proc/new/x.csv"])
def test_a_folder_that_takes_no_files(path):
    """As /proc, which says that the file is not there; neither a lock nor free bytes are the reason."""
    words, path = "No such file or directory.*takes no new files.*df FOLDER", Path(path)
    assert re.search(words, str(refused(path, FileNotFoundError(2, "No such file", str(path)))))
    with pytest.raises(UserError, match=words):
        files.check_takes_files(path)
    with pytest.raises(UserError, match=words), files.held(path, UserError("Held.", "By another.", "Wait.")):
        pass


def test_a_folder_that_is_gone(tmp_path):
    gone = tmp_path / "gone" / "a.nc"
    assert "The folder is gone" in str(refused(gone, FileNotFoundError(2, "No such file", str(gone))))
