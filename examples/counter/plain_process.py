"""Send the client on standard input a number, ten times a second: a process for each, as inetd starts them.

socat TCP-LISTEN:7000,fork,reuseaddr EXEC:"python examples/counter/plain_process.py"
systemd-socket-activate --accept --inetd -l 7000 python examples/counter/plain_process.py
"""

import socket
import time

connection = socket.socket(fileno=0)
index = 0
while True:
    connection.sendall(b"%d\n" % index)
    index += 1
    time.sleep(0.1)
