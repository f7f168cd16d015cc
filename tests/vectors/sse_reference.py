#!/usr/bin/env python3
"""Tiny, slow, obviously-correct text/event-stream reference decoder + vector checker.

Written from the WHATWG algorithms, not from any library:
  * Encoding standard, "UTF-8 decode" (one leading BOM removed) and the "UTF-8 decoder"
    (byte at a time, U+FFFD per maximal ill-formed subsequence);
  * HTML standard 9.2.5 "Parsing an event stream" (line ends: CRLF, LF, CR only);
  * HTML standard 9.2.6 "Interpreting an event stream".

Choices where the standard leaves room (no vector depends on the first two):
  * `retry` with an empty value: ignored (Chromium restores its default, crbug.com/587980);
  * a last line with no line end at EOF: discarded, like the rest of the pending data;
  * a CR ends its line at once; an LF right after it is swallowed.  So an event is reported at the
    first byte of its blank line's terminator, never one byte later (`at` in the vectors).

    python3 reference.py vectors.jsonl                          # verify every vector
    python3 reference.py --decode < stream.bin                  # decode one stream

A vector (one JSON object a line):
  id, source     names
  bytes_b64      the whole stream, base64
  expect         dispatched events in order: event (type), data, id (= last event ID at dispatch)
  last_event_id  the EventSource's last event ID *string* at EOF: what the most recent blank line
                 committed (an `id:` whose block never got its blank line does not count)
  retry          reconnection time in ms set by the stream, null if it set none;
                 key absent = the standard does not pin it down, do not compare
  at             (optional) for each event: the smallest prefix length, in bytes, after which it must
                 already have been delivered (promptness on a stream that stays open)
  note           (optional)
"""

import base64, json, random, re, sys


class Utf8Decoder:  # Encoding standard, "UTF-8 decoder's handler"
    def __init__(self):
        self.cp = self.seen = self.needed = 0
        self.lower, self.upper = 0x80, 0xBF

    def push(self, byte):  # -> list of code points
        if self.needed == 0:
            if byte <= 0x7F:
                return [byte]
            if 0xC2 <= byte <= 0xDF:
                self.needed, self.cp = 1, byte & 0x1F
            elif 0xE0 <= byte <= 0xEF:
                if byte == 0xE0:
                    self.lower = 0xA0
                if byte == 0xED:
                    self.upper = 0x9F
                self.needed, self.cp = 2, byte & 0x0F
            elif 0xF0 <= byte <= 0xF4:
                if byte == 0xF0:
                    self.lower = 0x90
                if byte == 0xF4:
                    self.upper = 0x8F
                self.needed, self.cp = 3, byte & 0x07
            else:
                return [0xFFFD]
            return []
        if not self.lower <= byte <= self.upper:
            self.__init__()
            return [0xFFFD] + self.push(byte)  # "restore byte to ioQueue", return error
        self.lower, self.upper = 0x80, 0xBF
        self.cp = (self.cp << 6) | (byte & 0x3F)
        self.seen += 1
        if self.seen != self.needed:
            return []
        cp = self.cp
        self.__init__()
        return [cp]


class Reference:
    def __init__(self):
        self.utf8, self.bom = Utf8Decoder(), b""  # bom: bytes held while they may still be a BOM
        self.line, self.skip_lf = [], False
        self.data_buf = self.type_buf = self.id_buf = ""
        self.last_event_id, self.retry = "", None
        self.events, self.at, self.consumed = [], [], 0

    def feed(self, chunk):
        for byte in chunk:
            self.consumed += 1
            if self.bom is not None:
                self.bom += bytes([byte])
                if b"\xef\xbb\xbf".startswith(self.bom):
                    if len(self.bom) == 3:
                        self.bom = None  # exactly one BOM dropped
                    continue
                held, self.bom = self.bom, None
            else:
                held = bytes([byte])
            for b in held:
                for cp in self.utf8.push(b):
                    self.char(chr(cp))

    def close(self):  # EOF: everything pending is discarded
        return self

    def char(self, c):
        if c == "\n" and self.skip_lf:
            self.skip_lf = False
        elif c in "\r\n":
            self.skip_lf = c == "\r"
            line, self.line = "".join(self.line), []
            self.process(line)
        else:
            self.skip_lf = False
            self.line.append(c)

    def process(self, line):
        if line == "":
            return self.dispatch()
        if line[0] == ":":
            return
        if ":" in line:
            field, value = line[: line.index(":")], line[line.index(":") + 1 :]
            if value[:1] == " ":
                value = value[1:]
        else:
            field, value = line, ""
        if field == "event":
            self.type_buf = value
        elif field == "data":
            self.data_buf += value + "\n"
        elif field == "id":
            if "\0" not in value:
                self.id_buf = value
        elif field == "retry":
            if value and all(c in "0123456789" for c in value):
                self.retry = int(value)

    def dispatch(self):
        self.last_event_id = self.id_buf
        if self.data_buf == "":
            self.type_buf = ""
            return
        data = self.data_buf[:-1] if self.data_buf[-1] == "\n" else self.data_buf
        self.events.append(
            {"event": self.type_buf or "message", "data": data, "id": self.last_event_id}
        )
        self.at.append(self.consumed)
        self.data_buf = self.type_buf = ""


def run(chunks):
    r = Reference()
    for c in chunks:
        r.feed(c)
    return r.close()


def oracle(stream):
    """A second, whole-stream implementation that shares no code: codec + regex + split."""
    text = (stream[3:] if stream[:3] == b"\xef\xbb\xbf" else stream).decode("utf-8", "replace")
    events, cur, typ, idb, last, retry = [], [], "", "", "", None
    for line in re.split("\r\n|\r|\n", text)[:-1]:
        if not line:
            last = idb
            if cur:
                events.append({"event": typ or "message", "data": "\n".join(cur), "id": last})
            cur, typ = [], ""
            continue
        name, _, value = line.partition(":")
        value = re.sub(r"\A ", "", value)
        if name == "data":
            cur.append(value)
        elif name == "event":
            typ = value
        elif name == "id" and "\x00" not in value:
            idb = value
        elif name == "retry" and re.fullmatch("[0-9]+", value):
            retry = int(value)
    return events, last, retry


def check(v, rng):
    raw = base64.b64decode(v["bytes_b64"], validate=True)
    want = (v["expect"], v["last_event_id"])
    fails = []

    def one(label, chunks):
        r = run(chunks)
        if (r.events, r.last_event_id) != want or ("retry" in v and r.retry != v["retry"]):
            fails.append((label, r.events, r.last_event_id, r.retry))
        return r

    r = one("whole", [raw])
    if "at" in v and r.at != v["at"]:
        fails.append(("at", r.at))
    one("bytes", [raw[i : i + 1] for i in range(len(raw))])
    one("bytes+empty", [x for i in range(len(raw)) for x in (b"", raw[i : i + 1], b"")])
    for i in range(len(raw) + 1):
        one("split@%d" % i, [raw[:i], raw[i:]])
    for _ in range(5):
        cuts = sorted(rng.randint(0, len(raw)) for _ in range(rng.randint(2, 9)))
        one("cuts%r" % cuts, [raw[a:b] for a, b in zip([0] + cuts, cuts + [len(raw)])])
    ev, last, retry = oracle(raw)
    if (ev, last) != want or ("retry" in v and retry != v["retry"]):
        fails.append(("second oracle", ev, last, retry))
    for i, n in enumerate(v.get("at", [])):  # `at` from the second implementation
        if not (len(oracle(raw[:n])[0]) == i + 1 and len(oracle(raw[: n - 1])[0]) == i):
            fails.append(("at by prefix", i, n))
    return len(raw) + 9, fails


def selftest(rng, n=20000):
    for _ in range(n):  # Utf8Decoder vs CPython's codec, ill-formed input
        b = bytes(
            rng.choice(
                (
                    0x41,
                    0x0A,
                    0x80,
                    0x9F,
                    0xA0,
                    0xBF,
                    0xC1,
                    0xC2,
                    0xE0,
                    0xE2,
                    0xED,
                    0xEF,
                    0xF0,
                    0xF4,
                    0xF5,
                    0xFF,
                    rng.randrange(256),
                )
            )
            for _ in range(rng.randrange(9))
        )
        u = Utf8Decoder()
        got = "".join(chr(c) for x in b for c in u.push(x)) + ("\ufffd" if u.needed else "")
        assert got == b.decode("utf-8", "replace"), b


def main(argv):
    if argv == ["--decode"]:
        r = run([sys.stdin.buffer.read()])
        print(
            json.dumps(
                {"events": r.events, "last_event_id": r.last_event_id, "retry": r.retry, "at": r.at}
            )
        )
        return 0
    rng, seen, bad = random.Random(1), set(), 0
    selftest(rng)
    for path in argv:
        n = runs = events = 0
        for k, text in enumerate(open(path, encoding="utf-8"), 1):
            v = json.loads(text)
            assert v["id"] not in seen, "duplicate id " + v["id"]
            seen.add(v["id"])
            count, fails = check(v, rng)
            n, runs, events = n + 1, runs + count, events + len(v["expect"])
            if fails:
                bad += 1
                print(
                    "FAIL %s:%d %s (%d)\n   want %r %r %r"
                    % (
                        path,
                        k,
                        v["id"],
                        len(fails),
                        v["expect"],
                        v["last_event_id"],
                        v.get("retry", "-"),
                    )
                )
                for f in fails[:2]:
                    print("   got ", f)
        print("%s: %d vectors, %d events, %d runs" % (path, n, events, runs))
    print("FAILED: %d" % bad if bad else "all vectors pass")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
