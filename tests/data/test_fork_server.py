import subprocess
import sys

PROGRAM = """
import os, psutil
from forge.data.fork_server import ALONE_BYTES, start_ahead

def servers():
    return [child.pid for child in psutil.Process().children() if "forkserver" in " ".join(child.cmdline())]

if __name__ == "__main__":
    start_ahead(ALONE_BYTES)
    few = servers()
    start_ahead(ALONE_BYTES + 1)
    started = servers()
    from forge.data.workers import make_pool
    with make_pool(2, 0) as pool:
        parent = pool.submit(os.getppid).result()
    print(few == [], len(started) == 1, [parent] == started, servers() == started)
"""


def test_workers_are_forked_from_what_was_started_ahead() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["True"] * 4, done.stderr


INTERRUPTED = """
import os, signal, time, psutil
from forge.data.fork_server import ALONE_BYTES, start_ahead

if __name__ == "__main__":
    start_ahead(ALONE_BYTES + 1)
    (server,) = (child for child in psutil.Process().children() if "forkserver" in " ".join(child.cmdline()))
    while "pyarrow" not in " ".join(one.path for one in server.memory_maps()):  # it is importing
        time.sleep(0.001)
    server.send_signal(signal.SIGINT)
    from forge.data.workers import make_pool
    with make_pool(2, 0) as pool:
        print(pool.submit(os.getppid).result() == server.pid)
"""


def test_ctrl_c_is_not_for_what_is_being_imported() -> None:
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("True\n", "")


LOADED_AHEAD = """
import sys, threading
from forge.data.fork_server import AFTER_READING, ALONE_BYTES, load_ahead

def loaded(total_bytes):
    load_ahead(total_bytes)
    for thread in set(threading.enumerate()) - {threading.main_thread()}:
        thread.join()
    return [name in sys.modules for name in AFTER_READING]

print(loaded(ALONE_BYTES), loaded(ALONE_BYTES + 1))
"""


def test_what_comes_after_reading_is_loaded_meanwhile() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED_AHEAD], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("[False, False] [True, True]\n", "")
