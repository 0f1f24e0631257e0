"""A DNS server in one file of the standard library: `python3 names.py ZONE`, where ZONE lists "name address" lines, read anew for
each query. UDP and TCP on port 53; other names are denied."""

import socket
import struct
import sys
import threading

HEADER = struct.Struct("!HHHHHH")


def answer(message: bytes) -> bytes:
    number = HEADER.unpack_from(message)[0]
    labels, at = [], 12
    while message[at]:
        labels.append(message[at + 1 : at + 1 + message[at]].decode().lower())
        at += 1 + message[at]
    kind, question = int.from_bytes(message[at + 1 : at + 3], "big"), message[12 : at + 5]
    with open(sys.argv[1], encoding="ascii") as zone:
        known = dict(line.split() for line in zone)
    name = ".".join(labels)
    if name and name not in known:
        return HEADER.pack(number, 0x8583, 1, 0, 0, 0) + question
    found = socket.inet_aton(known[name]) if name and kind == 1 else b""
    record = struct.pack("!HHHIH", 0xC00C, 1, 1, 5, 4) + found if found else b""
    return HEADER.pack(number, 0x8580, 1, int(bool(found)), 0, 0) + question + record


def over_tcp(listener: socket.socket) -> None:
    while True:
        connection, _ = listener.accept()
        with connection:
            (length,) = struct.unpack("!H", connection.recv(2, socket.MSG_WAITALL))
            said = answer(connection.recv(length, socket.MSG_WAITALL))
            connection.sendall(struct.pack("!H", len(said)) + said)


def main() -> None:
    listener = socket.create_server(("0.0.0.0", 53))
    threading.Thread(target=over_tcp, args=(listener,), daemon=True).start()
    queries = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    queries.bind(("0.0.0.0", 53))
    while True:
        message, sender = queries.recvfrom(4096)
        queries.sendto(answer(message), sender)


if __name__ == "__main__":
    main()
