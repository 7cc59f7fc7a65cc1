"""Start a program for each connection, which is its standard input, as inetd does.

Usage: _inetd.py PORT PROGRAM [ARGUMENT...]

It says `ready` once it listens.
"""

import socket
import subprocess
import sys


def main() -> None:
    children = []
    with socket.create_server(("", int(sys.argv[1])), backlog=128) as listener:
        print("ready", flush=True)
        while True:
            connection, _ = listener.accept()
            with connection:
                children.append(
                    subprocess.Popen(sys.argv[2:], stdin=connection.fileno(), stdout=subprocess.DEVNULL)
                )
            children = [child for child in children if child.poll() is None]


if __name__ == "__main__":
    main()
