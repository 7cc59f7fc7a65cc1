"""Show what the counter sends, and tell Migrate whether it comes as it should.

python examples/health/viewer.py ADDRESS PORT
"""

import socket
import sys

import sessionlayer as migrate

PATIENCE_S = 1.0


def view(connection: socket.socket) -> None:
    session = migrate.get_session(connection, optional=True)
    connection.settimeout(PATIENCE_S)
    while True:
        try:
            numbers = connection.recv(4096)
        except TimeoutError:
            session.report_health(False, f"no number for {PATIENCE_S:g} s")
            continue
        if not numbers:
            return
        session.keep_alive()
        print(numbers.decode(), end="", flush=True)


if __name__ == "__main__":
    with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as counter:
        view(counter)
