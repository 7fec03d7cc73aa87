"""Multicast DNS from RFC 6762 and RFC 6763 alone, as a second opinion on what a host announces, and as a bad neighbour.

mdns.py listen ADDRESS SECONDS        asks for _punktfunk._udp and prints what is said, a JSON object for each record
mdns.py crowd ADDRESS SECONDS COUNT   answers as COUNT hosts whose records are hostile
mdns.py flood ADDRESS COUNT           sends COUNT records that nobody has asked for
"""

import json
import os
import socket
import struct
import sys
import time

GROUP, PORT = "224.0.0.251", 5353
SERVICE = b"_punktfunk._udp.local"
A, PTR, TXT, SRV = 1, 12, 16, 33
FLUSH = 0x8000


def open_socket(address):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(("", PORT))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + socket.inet_aton(address))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
    return sock


def name(labels):
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def service(instance=None):
    return name(([instance] if instance else []) + SERVICE.split(b"."))


def question():
    return struct.pack(">6H", 0, 0, 1, 0, 0, 0) + service() + struct.pack(">2H", PTR, 1)


def record(owner, kind, ttl, data, cls=1):
    return owner + struct.pack(">2HIH", kind, cls, ttl, len(data)) + data


def answer(records):
    return struct.pack(">6H", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


def read_name(message, at):
    labels, end, jumps = [], None, 0
    while True:
        length = message[at]
        if length == 0:
            return labels, (at + 1 if end is None else end)
        if length & 0xC0 == 0xC0:
            end = at + 2 if end is None else end
            at = struct.unpack_from(">H", message, at)[0] & 0x3FFF
            jumps += 1
            if jumps > 64:
                raise ValueError("a name without an end")
        else:
            labels.append(message[at + 1 : at + 1 + length].decode("utf-8", "replace"))
            at += 1 + length


def read_data(message, kind, at, length):
    if kind == PTR:
        return read_name(message, at)[0]
    if kind == SRV:
        return {"port": struct.unpack_from(">H", message, at + 4)[0], "host": read_name(message, at + 6)[0]}
    if kind == A:
        return socket.inet_ntoa(message[at : at + 4])
    texts, end = {}, at + length
    while kind == TXT and at < end:
        key, _, value = message[at + 1 : at + 1 + message[at]].partition(b"=")
        if key:
            texts[key.decode()] = value.decode()
        at += 1 + message[at]
    return texts


def records(message):
    _, flags, questions, *counts = struct.unpack_from(">6H", message)
    if not flags & 0x8000:
        return
    at = 12
    for _ in range(questions):
        at = read_name(message, at)[1] + 4
    for _ in range(sum(counts)):
        owner, at = read_name(message, at)
        kind, _, ttl, length = struct.unpack_from(">2HIH", message, at)
        at += 10
        if kind in (A, PTR, TXT, SRV):
            kinds = {A: "A", PTR: "PTR", TXT: "TXT", SRV: "SRV"}
            yield {"owner": owner, "kind": kinds[kind], "ttl": ttl, "data": read_data(message, kind, at, length)}
        at += length


def listen(address, seconds):
    sock = open_socket(address)
    until, asked = time.monotonic() + seconds, 0.0
    while (now := time.monotonic()) < until:
        if now - asked >= 1:
            sock.sendto(question(), (GROUP, PORT))
            asked = now
        sock.settimeout(min(0.2, until - now))
        try:
            message, sender = sock.recvfrom(9000)
        except TimeoutError:
            continue
        if sender[0] != address:
            for said in records(message):
                print(json.dumps(said), flush=True)


def hostile(number):
    """The records of one bad host: each with something wrong."""
    names = [b"\x1b[31mred", b"\xff\xfe", "\u202eright to left".encode(), b"a" * 50, b"line\nline"]
    instance = names[number % len(names)][:50] + b" %d" % number
    host = name([b"h%d" % number, b"local"])
    texts = [
        [b"proto=2", b"fp=" + b"z" * 64, b"pair=required", b"id=x"],
        [b"proto=\xff\xff", b"fp=ab", b"pair=\x1b[2J", b"id="],
        [b"x" * 255] * 4,
        [b"proto=2", b"fp=" + b"ab" * 32, b"pair=open", b"id=" + b"i" * 200],
        [b"=", b"proto", b"fp"],
        [b"proto=2", b"fp=%064x" % number, b"pair=open", b"id=%d" % number],
    ]
    text = b"".join(bytes([len(part)]) + part for part in texts[number % len(texts)])
    if number % 7 == 0:
        text = b"\xff" + text  # a length that is longer than the record
    return [
        record(service(), PTR, 4500, service(instance)),
        record(service(instance), SRV, 120, struct.pack(">3H", 0, 0, 47800) + host, 1 | FLUSH),
        record(service(instance), TXT, 4500, text, 1 | FLUSH),
        record(host, A, 120, bytes([10, 9, 0, 200 + number % 50]), 1 | FLUSH),
    ]


def crowd(address, seconds, count):
    sock = open_socket(address)
    until = time.monotonic() + seconds
    sock.settimeout(0.2)
    print("ready", flush=True)
    while time.monotonic() < until:
        try:
            message, sender = sock.recvfrom(9000)
        except TimeoutError:
            continue
        if sender[0] == address or message[2] & 0x80 or SERVICE.split(b".")[0] not in message:
            continue
        for number in range(count):
            sock.sendto(answer(hostile(number)), (GROUP, PORT))
            if number % 20 == 0:
                time.sleep(0.005)
        sock.sendto(os.urandom(1400), (GROUP, PORT))


def flood(address, count):
    sock = open_socket(address)
    batch, sent = 60, 0
    while sent < count:
        owners = [name([b"f%d" % (sent + index), b"local"]) for index in range(batch)]
        sock.sendto(answer([record(owner, A, 4500, b"\x0a\x09\0\x07") for owner in owners]), (GROUP, PORT))
        sent += batch
        if sent % 1200 == 0:
            time.sleep(0.002)


if __name__ == "__main__":
    verb, address, *rest = sys.argv[1:]
    {"listen": listen, "crowd": crowd, "flood": flood}[verb](address, *map(int, rest))
