"""What each file in docs/vectors says, held against the modules beside this one.

A function a file: it gives counts for people, by what was compared. Refuses (`Disagreement`) the first thing that is
not as the file says, and every key, name or kind in a file that it does not know: what it cannot compare, it does not
pass over.
"""

import json

import bounds
import cbor
import clock
import control
import demux
import fec
import feedback
import filler
import header
import keys
import opening
import packetize
import pairing
import reassemble

# Products of k and m above this are left out: the definition takes a second for each 150,000.
FEC_COST_MAX = 200_000


class Disagreement(Exception):
    """Where, what was expected, and what came."""


def same(came, expected, where: str):
    if came != expected:
        raise Disagreement(f"{where}: the file says {_short(expected)}, and this implementation {_short(came)}")


def _short(value) -> str:
    text = value.hex() if isinstance(value, bytes) else repr(value)
    return text if len(text) <= 200 else f"{text[:200]}… ({len(text)} characters)"


def only(given: dict, known: str, where: str, optional: str = ""):
    """The keys of an object are those, no more and no less."""
    missing = set(known.split()) - set(given)
    strange = set(given) - set(known.split()) - set(optional.split())
    if missing or strange:
        raise Disagreement(f"{where}: without {sorted(missing)}, and with {sorted(strange)}, which is not known here")


def named(table: dict, name: str, where: str):
    if name not in table:
        raise Disagreement(f"{where}: {name!r} is not known here")
    return table[name]


def refused(call, kinds, where: str):
    """The call has to refuse; its reason comes back."""
    try:
        came = call()
    except kinds as why:
        return why
    raise Disagreement(f"{where}: the file says that it is refused, and this implementation reads {_short(came)}")


def keys_json(file: dict) -> dict:
    only(file, "about keys", "keys.json")
    datagrams = 0
    for number, entry in enumerate(file["keys"]):
        where = f"key {number}"
        known = "aad cipher datagrams direction epoch info key plane secret static_nonce text"
        only(entry, known, where)
        cipher = named(keys.CIPHER_NAMES, entry["cipher"], where)
        plane = named(keys.PLANE_NAMES, entry["plane"], where)
        secret, aad, text = (bytes.fromhex(entry[name]) for name in ("secret", "aad", "text"))
        about = (cipher, entry["direction"], plane, entry["epoch"])
        same(keys.info_of(*about).hex(), entry["info"], f"{where}, info")
        key = keys.EpochKey.derive(secret, *about)
        same(key.key.hex(), entry["key"], f"{where}, key")
        same(key.static_nonce.hex(), entry["static_nonce"], f"{where}, static nonce")
        for datagram in entry["datagrams"]:
            only(datagram, "nonce sealed sequence", where)
            sequence = datagram["sequence"]
            where_exactly = f"{where}, sequence {sequence}"
            same(key.nonce(sequence).hex(), datagram["nonce"], f"{where_exactly}, nonce")
            sealed = key.seal(sequence, aad, text)
            same(sealed.hex(), datagram["sealed"], f"{where_exactly}, sealed")
            same(key.open(sequence, aad, sealed), text, f"{where_exactly}, opened")
            datagrams += 1
    return {"keys": len(file["keys"]), "sealed texts": datagrams}


def bounds_of(given: dict, where: str) -> bounds.Bounds:
    numbers = "shard_bytes_max bitrate_kbps refresh_mhz slices_max redundancy_per_mille au_bytes_max"
    only(given, numbers + " derived", where)
    derived = bounds.Bounds.of(given)
    same(derived.derived(), given["derived"], where)
    return derived


def clocks_json(file: dict) -> dict:
    only(file, "about limits payloads pts refused rounds", "clocks.json")
    for number, given in enumerate(file["limits"]):
        bounds_of(given, f"limits {number}")
    for given in file["payloads"]:
        only(given, "shard_bytes udp_payload_bytes", "payloads")
        payload = given["udp_payload_bytes"]
        same(bounds.shard_bytes_of(payload), given["shard_bytes"], f"a payload of {payload} bytes")
    for given in file["pts"]:
        only(given, "pts_us session_now_us session_us", "pts")
        came = clock.session_us(given["pts_us"], given["session_now_us"])
        same(came, given["session_us"], f"pts {given['pts_us']} at {given['session_now_us']}")
    for given in file["refused"]:
        shard, bitrate, refresh, slices, redundancy, au = given
        numbers = (shard, bitrate, refresh, slices, redundancy, au)
        refused(lambda: bounds.Bounds(*numbers), bounds.OutOfRange, f"{given}")
    for given in file["rounds"]:
        only(given, "t_client_us t_received_us t_sent_us t_back_us says", "rounds")
        times = [given[name] for name in ("t_client_us", "t_received_us", "t_sent_us", "t_back_us")]
        same(clock.says(*times), given["says"], f"a round of {times}")
    return {name: len(file[name]) for name in ("limits", "payloads", "pts", "refused", "rounds")}


def feedback_json(file: dict) -> dict:
    only(file, "about reports", "feedback.json")
    read = refusals = written = 0
    for entry in file["reports"]:
        where, report = f"report {entry['name']!r}", bytes.fromhex(entry["report"])
        same(demux.plane_of(bytes([demux.FEEDBACK]) + report), (demux.FEEDBACK, report), where)
        if "refused" in entry:
            only(entry, "name report refused", where)
            why = refused(lambda: feedback.parse(report), feedback.Refused, where)
            same(why.args[0], entry["refused"], where)
            refusals += 1
            continue
        only(entry, "name report fields", where)
        fields = feedback.parse(report)
        same(fields, entry["fields"], where)
        again = feedback.serialise(fields)
        # What is not known is not written again.
        if report[3] >> 7 == 0:
            same(again, report, f"{where}, written")
            written += 1
        same(feedback.parse(again), fields, f"{where}, read again")
        read += 1
    return {"read": read, "written": written, "refused": refusals}


def as_json(message):
    """As control.json spells a message: [kind, fields], a map's numbers as texts, bytes as {"bytes": hexadecimal}."""

    def spelled(value):
        if isinstance(value, dict):
            return {str(key): spelled(item) for key, item in value.items()}
        if isinstance(value, bytes):
            return {"bytes": value.hex()}
        return [spelled(item) for item in value] if isinstance(value, list) else value

    return None if message is None else [message[0], spelled(message[1])]


def _from_json(fields):
    if isinstance(fields, dict) and "bytes" in fields:
        return bytes.fromhex(fields["bytes"])
    if isinstance(fields, dict):
        return {number: _from_json(fields[str(number)]) for number in sorted(map(int, fields))}
    return [_from_json(item) for item in fields] if isinstance(fields, list) else fields


def control_json(file: dict) -> dict:
    only(file, "about messages protocol refused refused_lengths tolerated", "control.json")
    same(control.PROTOCOL, file["protocol"], "protocol")
    for entry in file["messages"]:
        where = f"message {entry['name']!r}"
        only(entry, "cbor kind message name", where)
        message = bytes.fromhex(entry["message"])
        same(control.parse_length(message[:4]), len(message) - 4, f"{where}, length")
        came = control.parse(message[4:])
        same(as_json(came), entry["cbor"], where)
        same(came[0], entry["kind"], f"{where}, kind")
        same(control.frame(came[0], _from_json(entry["cbor"][1])), message, f"{where}, written")
    for entry in file["tolerated"]:
        where = f"tolerated {entry['name']!r}"
        only(entry, "body cbor name reads_as", where)
        body = bytes.fromhex(entry["body"])
        same(as_json(cbor.Reader(body).item()), entry["cbor"], f"{where}, as it stands")
        same(as_json(control.parse(body)), entry["reads_as"], where)
    for entry in file["refused"]:
        only(entry, "body name", "refused")
        body = bytes.fromhex(entry["body"])
        refused(lambda: control.parse(body), control.Broken, f"refused {entry['name']!r}")
    for length in file["refused_lengths"]:
        prefix = length.to_bytes(4, "little")
        refused(lambda: control.parse_length(prefix), control.Broken, f"a message of {length} bytes")
    return {name: len(file[name]) for name in ("messages", "tolerated", "refused", "refused_lengths")}


def pairing_json(file: dict) -> dict:
    only(file, "about messages refused runs", "pairing.json")
    for entry in file["messages"]:
        where = f"message {entry['name']!r}"
        only(entry, "cbor kind message name", where)
        message = bytes.fromhex(entry["message"])
        same(control.parse_length(message[:4]), len(message) - 4, f"{where}, length")
        came = control.parse(message[4:], control.PAIR_MESSAGES)
        same(as_json(came), entry["cbor"], where)
        same(came[0], entry["kind"], f"{where}, kind")
        same(control.frame(came[0], _from_json(entry["cbor"][1])), message, f"{where}, written")
    for entry in file["refused"]:
        only(entry, "body name", "refused")
        body = bytes.fromhex(entry["body"])
        refused(lambda: control.parse(body, control.PAIR_MESSAGES), control.Broken, f"refused {entry['name']!r}")
    for number, run in enumerate(file["runs"]):
        where = f"run {number}"
        only(run, "client client_scalar confirm_p confirm_v exporter host host_scalar pin share_p share_v", where)
        host, client, exporter = (bytes.fromhex(run[name]) for name in ("host", "client", "exporter"))
        scalars = [int(run[name], 16) for name in ("client_scalar", "host_scalar")]
        came = pairing.run(run["pin"], host, client, exporter, *scalars)
        for name, value in zip(("share_p", "share_v", "confirm_v", "confirm_p"), came):
            same(value.hex(), run[name], f"{where}, {name}")
    return {name: len(file[name]) for name in ("messages", "refused", "runs")}


def _handed_on(due: list) -> list:
    """Deliveries as the files spell them."""
    out = []
    for one in due:
        if isinstance(one, reassemble.Lost):
            out.append({"lost_au": one.au, "count": one.count, "blocks_delivered": one.blocks_delivered})
        else:
            flags = reassemble.flag_names(one.flags)
            bytes_of = {"bytes": one.bytes.hex(), "shards_recovered": one.recovered, "pts_us": one.pts_us}
            out.append({"au": one.au, "block": one.block, **flags, **bytes_of})
    return out


def joined(delivered: list) -> list:
    """Losses that follow each other as one: whether they are told one by one is nobody's promise."""
    out = []
    for one in delivered:
        last = out[-1] if out else {}
        follows = "lost_au" in last and last["lost_au"] + last["count"] == one.get("lost_au")
        if follows and one["blocks_delivered"] == 0:
            out[-1] = {**last, "count": last["count"] + one["count"]}
        else:
            out.append(one)
    return out


def receiver(agreed: bounds.Bounds, cipher: int, secret: bytes) -> reassemble.Reassembler:
    about = (secret, cipher, keys.HOST_TO_CLIENT, keys.VIDEO)
    return reassemble.Reassembler(agreed, opening.Opener(*about, agreed.replay_window))


def step(into: reassemble.Reassembler, at_us: int, datagram):
    """Outcome (None where only time goes by) and what is handed on."""
    outcome = None
    if datagram is None:
        into.handle_timeout(at_us)
    else:
        outcome = into.handle_datagram(datagram, at_us)
    return outcome, joined(_handed_on(into.poll()))


def media_json(file: dict) -> dict:
    """Also hostile.json."""
    only(file, "about negotiated cases", "cases")
    agreed = bounds_of(file["negotiated"], "negotiated")
    steps = delivered = made = 0
    for case in file["cases"]:
        where = f"case {case['name']!r} ({case.get('cipher')})"
        only(case, "about cipher epoch_opened name secret steps", where)
        into = receiver(agreed, named(keys.CIPHER_NAMES, case["cipher"], where), bytes.fromhex(case["secret"]))
        for number, given in enumerate(case["steps"]):
            only(given, "at_us what", where, "datagram outcome delivered")
            exactly = f"{where}, step {number} ({given['what']})"
            datagram = bytes.fromhex(given["datagram"]) if "datagram" in given else None
            outcome, handed_on = step(into, given["at_us"], datagram)
            same(outcome, given.get("outcome"), exactly)
            same(handed_on, joined(given.get("delivered", [])), f"{exactly}, delivered")
            if outcome == reassemble.ACCEPTED:
                same(demux.owner(datagram), demux.MEDIA, exactly)
            steps, delivered = steps + 1, delivered + len(handed_on)
        same(into.epoch_opened, case["epoch_opened"], f"{where}, epoch_opened")
        made += _made_again(case, where)
    return {"cases": len(file["cases"]), "steps": steps, "handed on": delivered, "datagrams made again": made}


def _made_again(case: dict, where: str) -> int:
    """Each datagram of a block that was handed on, made from the block's bytes as a sender makes it."""
    delivered = [one for given in case["steps"] for one in given.get("delivered", [])]
    blocks = {(one["au"], one["block"]): one for one in delivered if "au" in one}
    secret, cipher = bytes.fromhex(case["secret"]), keys.CIPHER_NAMES[case["cipher"]]
    epochs = [
        keys.EpochKey.derive(secret, cipher, keys.HOST_TO_CLIENT, keys.VIDEO, epoch)
        for epoch in range(case["epoch_opened"] + 1)
    ]
    made = 0
    for given in case["steps"]:
        if given.get("outcome") != reassemble.ACCEPTED:
            continue
        datagram = bytes.fromhex(given["datagram"])
        came = header.Header.parse(datagram, keys.VIDEO)
        block = blocks.get((came.au, came.block))
        if block is None:
            continue
        planned = packetize.block_of(bytes.fromhex(block["bytes"]), len(datagram) - header.OVERHEAD_BYTES, came.flags)
        same((came.k, came.tail), (len(planned.data), planned.tail), f"{where}, {given['what']}, k and tail")
        text = (planned.data + fec.parity_of(planned.data, came.m))[came.shard]
        aad = came.bytes()
        again = [aad + key.seal(came.sequence, aad, text) for key in epochs if key.epoch & 3 == came.epoch_low]
        if datagram not in again:
            raise Disagreement(f"{where}, {given['what']}: made from its block's bytes it is another datagram")
        made += 1
    return made


def _fnv(data: bytes) -> str:
    out = 0xCBF29CE484222325
    for byte in data:
        out = (out ^ byte) * 0x100000001B3 % (1 << 64)
    return f"{out:016x}"


def filler_json(file: dict) -> dict:
    only(file, "about cipher secret shard_bytes_max steps", "filler.json")
    cipher, secret = named(keys.CIPHER_NAMES, file["cipher"], "filler.json"), bytes.fromhex(file["secret"])
    into = filler.Meter(secret, cipher, file["shard_bytes_max"])
    arrivals = said = 0
    for number, given in enumerate(file["steps"]):
        if "says" in given:
            only(given, "says", f"step {number}")
            same(into.says(given["says"]["test"]), given["says"], f"step {number}, said")
            said += 1
            continue
        where = f"step {number} ({given['what']})"
        only(given, "at_us counts datagram what", where)
        datagram = bytes.fromhex(given["datagram"])
        same(into.handle_datagram(datagram, given["at_us"]), given["counts"], where)
        same(demux.owner(datagram), demux.MEDIA, where)
        arrivals += 1
    return {"arrivals": arrivals, "said": said}


def fec_txt(text: str) -> dict:
    shapes = left_out = 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("#"):
            continue
        where = f"line {number}"
        words = line.split()
        if len(words) != 5 or words[3] not in ("hex", "fnv"):
            raise Disagreement(f"{where}: {line[:60]!r} is of no kind that is known here")
        k, m, size = map(int, words[:3])
        if k * m > FEC_COST_MAX:
            left_out += 1
            continue
        data = bytes((i * i + 7 * i) // 3 & 0xFF for i in range(k * size))
        shards = [data[at : at + size] for at in range(0, len(data), size)]
        parity = fec.parity_of(shards, m)
        joined_parity = b"".join(parity)
        came = joined_parity.hex() if words[3] == "hex" else _fnv(joined_parity)
        same(came, words[4], f"{where}, {k} + {m} shards of {size} bytes")
        _recovers(shards, parity, where)
        shapes += 1
    return {"shapes": shapes, f"left out, for k x m is above {FEC_COST_MAX:,}": left_out}


def _recovers(shards: list, parity: list, where: str):
    """Some data is lost, and comes back from the last of the parity."""
    k, lost = len(shards), min(len(shards), len(parity), 8)
    have = {index: shard for index, shard in enumerate(shards) if index >= lost}
    have.update({k + index: parity[index] for index in range(len(parity) - lost, len(parity))})
    same(fec.recover(k, len(parity), have), shards, f"{where}, recovered")


CHECKS = {
    "keys.json": keys_json,
    "clocks.json": clocks_json,
    "feedback.json": feedback_json,
    "control.json": control_json,
    "pairing.json": pairing_json,
    "media.json": media_json,
    "hostile.json": media_json,
    "filler.json": filler_json,
    "fec.txt": fec_txt,
}


def read(name: str, text: str):
    return json.loads(text) if name.endswith(".json") else text
