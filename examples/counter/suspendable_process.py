"""Send the client on standard input a number, ten times a second; no process is there during an outage.

systemd-socket-activate --accept --inetd -l 7000 python examples/counter/suspendable_process.py
"""

import socket
import time

import sessionlayer as migrate

session = migrate.continued() or migrate.get_session(socket.socket(fileno=0), optional=True)
session.register_handler()
connection = session.connection
index = int(session.retrieve("index")) if session.continued else 0
while True:
    connection.sendall(b"%d\n" % index)
    index += 1
    time.sleep(0.1)
    if session.suspended:
        session.store("index", b"%d" % index)
        session.return_cont(migrate.complete(session))
