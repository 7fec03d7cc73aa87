"""This implementation as a program for tests: questions and answers in JSON, each a line. Bytes are hexadecimal.

`receive`: what becomes of datagrams; `send`: datagrams of access units; `message` and `report`: what each of many
bytes means; `bounds`: what follows from six numbers; `pts`: the session times of pairs; `rounds`: what rounds of the
clocks' handshake say, null where they break the protocol. What is refused is answered with `refused` and why.
"""

import json
import sys

sys.dont_write_bytecode = True
import bounds  # noqa: E402
import clock  # noqa: E402
import control  # noqa: E402
import feedback  # noqa: E402
import keys  # noqa: E402
import packetize  # noqa: E402
import sealing  # noqa: E402
import vectors  # noqa: E402


def receive(asked: dict) -> dict:
    """Of `steps`, each a time and a datagram or null: outcome and what is handed on."""
    into = vectors.receiver(bounds.Bounds(*asked["agreed"]), asked["cipher"], bytes.fromhex(asked["secret"]))
    steps = []
    for at_us, datagram in asked["steps"]:
        steps.append(vectors.step(into, at_us, None if datagram is None else bytes.fromhex(datagram)))
    return {"steps": steps, "epoch_opened": into.epoch_opened, "highest_au": into.highest_au}


def send(asked: dict) -> dict:
    """Of `aus`: the datagrams of each. A second goes by from one to the next, and each epoch is reported as opened."""
    about = (bytes.fromhex(asked["secret"]), asked["cipher"], keys.HOST_TO_CLIENT, keys.VIDEO)
    sealer = sealing.Sealer(*about, 0, epoch_us=asked["epoch_us"])
    out = []
    for number, au in enumerate(asked["aus"]):
        slices = [bytes.fromhex(one) for one in au.pop("slices")]
        unit = packetize.AccessUnit(au=number, slices=slices, **au)
        agreed, now_us = bounds.Bounds(*asked["agreed"]), number * 1_000_000
        datagrams = packetize.packetize(unit, agreed, asked["shard_bytes"], sealer, now_us, asked["data_shards"])
        out.append([datagram.hex() for datagram in datagrams])
        sealer.handle_epoch_opened(sealer.epoch)
    return {"datagrams": out}


def of_each(read) -> dict:
    """A verb that answers about each of `all`, refused ones too."""

    def answer(asked: dict) -> dict:
        return {"answers": [_or_refused(read, bytes.fromhex(one)) for one in asked["all"]]}

    return answer


def message(body: bytes) -> dict:
    return {"reads_as": vectors.as_json(control.parse(body))}


def report(came: bytes) -> dict:
    return {"fields": feedback.parse(came)}


def bounds_of(asked: dict) -> dict:
    return bounds.Bounds(*asked["agreed"]).derived()


def pts(asked: dict) -> dict:
    return {"session_us": [clock.session_us(*pair) for pair in asked["pairs"]]}


def rounds(asked: dict) -> dict:
    return {"rounds": [clock.says(*times) for times in asked["all"]]}


VERBS = {
    "receive": receive, "send": send, "message": of_each(message), "report": of_each(report), "bounds": bounds_of,
    "pts": pts, "rounds": rounds,
}  # fmt: skip
REFUSALS = (bounds.OutOfRange, control.Broken, feedback.Refused, packetize.TooMuch)


def _or_refused(verb, about) -> dict:
    try:
        return verb(about)
    except REFUSALS as why:
        return {"refused": str(why)}


def main():
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(_or_refused(VERBS[asked["do"]], asked)), flush=True)


if __name__ == "__main__":
    main()
