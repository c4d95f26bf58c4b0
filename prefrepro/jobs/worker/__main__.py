"""python -m prefrepro.jobs.worker LISTENER PARENT: listener's file descriptor, and the process not to outlive."""

import shutil
import socket
import sys
from pathlib import Path

from prefrepro.jobs.worker.server import Worker

if __name__ == "__main__":
    with socket.socket(fileno=int(sys.argv[1])) as listener:
        folder = Path(listener.getsockname()).parent
        job = Worker(listener, int(sys.argv[2])).serve()
    if job is not None:
        job.run()
    shutil.rmtree(folder, ignore_errors=True)
