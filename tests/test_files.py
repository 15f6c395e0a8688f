"""Locks and writing: one holder at a time, a kill sets free, and removing the file lets no second one in."""

import fcntl
import os
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
    with pytest.raises(UserError, match="could not be written.*Give another"):
        with files.held(tmp_path / "file" / ".lock", REFUSAL, "Give another."):
            pass


def test_a_system_without_locks_is_told_and_not_taken_for_another_holder(lock, monkeypatch):
    def flock(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(UserError, match="No locks available"):
        with files.held(Path(lock), REFUSAL):
            pass


def test_a_file_has_its_name_only_when_the_block_has_ended(tmp_path):
    path = tmp_path / "new" / "table.csv"
    with files.whole(path) as part:
        part.write_text("all of it")
        assert not path.exists() and part.parent == path.parent and part.name.startswith(".")
    assert path.read_text() == "all of it" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("fault, raised", [(ZeroDivisionError(), ZeroDivisionError),
                                           (OSError(28, "No space left on device"), UserError)])
def test_a_block_that_fails_leaves_what_was_there(tmp_path, fault, raised):
    path = tmp_path / "table.csv"
    path.write_text("before")
    with pytest.raises(raised) as caught:
        with files.whole(path, "Free some.") as part:
            part.write_text("half")
            raise fault
    assert path.read_text() == "before" and list(tmp_path.iterdir()) == [path]
    if raised is UserError:
        assert "No space left" in caught.value.problem and caught.value.fix == "Free some."


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
