# SPDX-License-Identifier: Apache-2.0
"""The runtime's values against Tests/Vectors/values.txt and against themselves."""

import collections
import datetime
import decimal
import enum
import math
import os
import random
import subprocess
import sys
import types
import unittest
import uuid
from pathlib import Path

import fake_host
from support import has

ROOT = Path(__file__).parents[2]
sys.path.insert(0, fake_host.RUNTIME)
from lauter_runtime import values, values_in  # noqa: E402
from lauter_runtime.values import NoValueForm, encode  # noqa: E402
from lauter_runtime.values_in import Broken, NotHeld, decode  # noqa: E402


def vectors():
    """(name, parts, outcome) of each line."""
    for line in (ROOT / "Tests" / "Vectors" / "values.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, parts, outcome = line.split("\t")
            yield name, [bytes.fromhex(part) for part in parts.split("/")], outcome


def data_of(parts):
    return [bytes(data) for _, data in parts]


def shown(value):
    """A value as the vectors write it."""
    if isinstance(value, values.Array):
        return shown_array(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return '"%s"' % value.replace("\0", "\\u0000")
    if isinstance(value, bytes):
        return ("bytes " + value.hex()).strip()
    if isinstance(value, list):
        return "[%s]" % ", ".join(map(shown, value))
    if isinstance(value, tuple):
        return "tuple " + shown(list(value))
    if isinstance(value, set):
        return "set " + shown(list(value))
    if isinstance(value, dict):
        return "{%s}" % ", ".join("%s: %s" % (shown(key), shown(item)) for key, item in value.items())
    if isinstance(value, complex):
        return "complex %g%+gi" % (value.real, value.imag)
    if isinstance(value, uuid.UUID):
        return "uuid %s" % value
    if isinstance(value, decimal.Decimal):
        return "decimal %s" % value
    if isinstance(value, datetime.datetime):
        text = value.isoformat()
        if value.microsecond:
            text = text.replace(".%06d" % value.microsecond, (".%06d" % value.microsecond).rstrip("0"))
        zone = getattr(value.tzinfo, "key", None) or (value.tzname() if value.tzinfo else "")
        return "datetime %s%s" % (text, "" if not zone or zone.startswith("UTC") else " " + zone)
    if isinstance(value, datetime.date):
        return "date %s" % value
    if isinstance(value, datetime.timedelta):
        return "duration %g" % value.total_seconds()
    return repr(value)


def shown_array(array):
    kind = values.KINDS[array.kind - 1]
    name = {"b": "bool", "i": "int", "u": "uint", "f": "float"}[kind[1]]
    if name != "bool":
        name += str(8 * int(kind[2:]))
    flat = memoryview(array.data).cast({"|b1": "?", "<i2": "h", "<i4": "i", "|u1": "B", "<f8": "d"}[kind]).tolist()
    shape = str(list(array.shape)) + "".join(" %g" % item for item in flat)
    return "array %s %s%s" % (name, "column-major " if array.is_fortran else "", shape)


def same(one, other):
    """Whether two values are the same: types, order of maps, NaNs, and the sign of zero too."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one.items()), list(other.items()))
    if isinstance(one, values.Array):
        mine, others = [(a.kind, a.shape, a.is_fortran, bytes(a.data)) for a in (one, other)]
        return mine == others
    if isinstance(one, float):
        return math.isnan(one) and math.isnan(other) or (one, math.copysign(1, one)) == (other, math.copysign(1, other))
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, decimal.Decimal):
        return one.as_tuple() == other.as_tuple()
    if isinstance(one, datetime.datetime):
        return one == other and one.utcoffset() == other.utcoffset() and str(one.tzinfo) == str(other.tzinfo)
    return one == other


class Vectors(unittest.TestCase):
    def setUp(self):
        self.assertNotIn("numpy", sys.modules, "these read arrays without NumPy")

    def test_each_is_what_it_says(self):
        meant = refused = 0
        for name, parts, outcome in vectors():
            with self.subTest(name):
                if outcome.startswith("!"):
                    _, offset, reason = outcome.split(" ", 2)
                    with self.assertRaises(Broken) as caught:
                        decode(parts)
                    self.assertEqual((caught.exception.offset, caught.exception.reason), (int(offset), reason))
                    refused += 1
                elif name == "time":
                    with self.assertRaisesRegex(NotHeld, "a time with nanoseconds"):
                        decode(parts)
                else:
                    found = shown(decode(parts))
                    if isinstance(decode(parts), set):
                        found, outcome = sorted(found), sorted(outcome[2:])
                    elif name == "nested 64 deep":
                        found, outcome = found[:3], "[[["
                    else:
                        outcome = outcome[2:]
                    self.assertEqual(found, outcome)
                    meant += 1
        self.assertGreater(meant, 60)
        self.assertGreater(refused, 60)

    def test_each_comes_back_as_it_was(self):
        for name, parts, outcome in vectors():
            if outcome.startswith("=") and name != "time":
                with self.subTest(name):
                    value = decode(parts)
                    again = data_of(encode(value))
                    self.assertTrue(same(decode(again), value))
                    # What was in the shortest form comes back byte by byte.
                    if not any(word in name for word in ("long", "NaN", "float of", "timestamp", "signed", "in a part")):
                        if not isinstance(value, set) and name != "two arrays":
                            self.assertEqual(again, parts)

    def test_each_beginning_is_refused(self):
        for name, parts, outcome in vectors():
            if outcome.startswith("=") and name != "time":
                for size in range(len(parts[0])):
                    with self.subTest(name, size=size), self.assertRaises(Broken):
                        decode([parts[0][:size], *parts[1:]])


class Color(enum.IntEnum):
    RED = 3


class Values(unittest.TestCase):
    def back(self, value):
        return decode(data_of(encode(value)))

    def test_what_is_like_a_plain_value_is_told_as_one(self):
        point = collections.namedtuple("point", "x y")(1, 2)
        for value, plain in (
            (point, (1, 2)),
            (Color.RED, 3),
            (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
            (collections.Counter("a"), {"a": 1}),
            (frozenset({1}), {1}),
            (bytearray(b"x"), b"x"),
            (memoryview(b"xyz")[1:], b"yz"),
        ):
            self.assertTrue(same(self.back(value), plain), value)

    def test_a_dicts_order_survives(self):
        self.assertEqual(list(self.back({"z": 1, "a": 2, 5: 3, b"q": 4})), ["z", "a", 5, b"q"])

    def test_a_refusal_says_where_and_why(self):
        deep = []
        deep.append(deep)
        for value, words in (
            ({"a": [1, 2, 3, len]}, r'^x\[\'a\'\]\[3\]: a builtin_function_or_method has no value form$'),
            ((1, lambda: 0), r"^x\[1\]: a function has no value form$"),
            ([types], r"^x\[0\]: a module has no value form$"),
            ({"k": {1.5: 0}}, r"^x\['k'\]: 1\.5, a float, cannot be a key$"),
            ({(1, 2): 0}, r"^x: \(1, 2\), a tuple, cannot be a key$"),
            ({True: 0}, r"^x: True, a bool, cannot be a key$"),
            ({None}, r"^x: None, a NoneType, cannot be an element of a set$"),
            (["\ud800"], r"^x\[0\]: text with '\\ud800', which is no character$"),
            ([decimal.Decimal("NaN")], r"^x\[0\]: the decimal NaN$"),
            ({"t": datetime.time(tzinfo=datetime.timezone.utc)}, r"^x\['t'\]: a time of day in a zone$"),
            (1 << (8 * 65536), r"^x: an integer of more than 65536 bytes$"),
            (deep, r"^x(\[0\]){64}: nested more than 64 deep$"),
            (Ellipsis, r"^x: an ellipsis has no value form$"),
        ):
            with self.subTest(words), self.assertRaisesRegex(NoValueForm, words):
                encode(value)

    def test_bounds_are_those_of_the_format(self):
        for value in (1 << (8 * 65536 - 1), -1 << (8 * 65536 - 1)):
            with self.assertRaisesRegex(NoValueForm, "65536 bytes") if value > 0 else self.subTest():
                self.assertEqual(self.back(value), value)
        nested = []
        for _ in range(63):
            nested = [nested]
        self.assertEqual(self.back(nested), nested)
        with self.assertRaises(NoValueForm):
            encode([nested])

    def test_keys_that_collide_are_refused_before_they_cost_anything(self):
        prime = (1 << 61) - 1
        parts = data_of(encode({uuid.UUID(int=index * prime) for index in range(1, 65)}))
        self.assertEqual(len(decode(parts)), 64)
        with self.assertRaisesRegex(NotHeld, "chosen to make Python's dict slow"):
            self.back({uuid.UUID(int=index * prime) for index in range(1, 66)})

    def test_zones_are_kept_by_name_and_offset(self):
        try:
            from zoneinfo import ZoneInfo

            berlin = ZoneInfo("Europe/Berlin")
        except Exception as error:
            self.skipTest("no zones here: %s" % error)
        for fold, hours in ((0, 2), (1, 1)):
            # The hour that there is twice.
            value = datetime.datetime(2024, 10, 27, 2, 30, tzinfo=berlin, fold=fold)
            found = self.back(value)
            self.assertEqual((found.fold, found.tzinfo, found.utcoffset().seconds), (fold, berlin, 3600 * hours))

    def test_an_array_without_numpy_has_its_elements(self):
        import array

        found = self.back({"a": array.array("d", [1.5, 2.5]), "b": array.array("H", range(600))})
        self.assertEqual(found["a"].tolist(), [1.5, 2.5])
        self.assertEqual(found["b"].tolist(), list(range(600)))
        self.assertEqual(len(encode(found["b"])), 2, "data of its own part")
        column = values.Array(2, (2, 3), True, bytes([1, 4, 2, 5, 3, 6]))
        self.assertEqual(column.tolist(), [[1, 2, 3], [4, 5, 6]])
        for kind in range(1, 25):
            array = values.Array(kind, (2,), False, bytes(2 * values.width_of(kind)))
            self.assertEqual([complex(item) for item in array.tolist()], [0, 0], values.KINDS[kind - 1])
        self.assertNotIn("numpy", sys.modules)


def chance(random, depth=0):
    """Some value."""
    pick = random.randrange(22 if depth < 5 else 16)
    size = random.choice((0, 1, 2, 7, 16, 31, 32, 300))
    bits = random.choice((1, 6, 8, 16, 31, 33, 63, 64, 65, 200))
    day = datetime.date.fromordinal(random.randrange(1, 3652060))
    clock = datetime.time(random.randrange(24), 59, random.randrange(60), random.randrange(10**6))

    def key():
        return random.choice(
            (random.randrange(-(1 << bits), 1 << bits), "k%d" % random.randrange(99), random.randbytes(3), day)
            + (uuid.UUID(int=random.getrandbits(128)),)
        )

    if pick < 5:
        return (None, True, False, math.inf, -0.0)[pick]
    if pick == 5:
        return random.randrange(-(1 << bits), 1 << bits)
    if pick == 6:
        return random.gauss(0, 1e9)
    if pick == 7:
        return "".join(random.choice("aäß€🎶\0\n") for _ in range(size))
    if pick == 8:
        return random.randbytes(size)
    if pick == 9:
        return decimal.Decimal((random.randrange(2), [random.randrange(10) for _ in range(5)], random.randrange(-99, 99)))
    if pick == 10:
        return day
    if pick == 11:
        return clock
    if pick == 12:
        zone = random.choice((None, datetime.timezone.utc, datetime.timezone(datetime.timedelta(seconds=-4321))))
        return datetime.datetime.combine(day, clock, zone)
    if pick == 13:
        return datetime.timedelta(random.randrange(-9999, 9999), random.randrange(86400), random.randrange(10**6))
    if pick == 14:
        return complex(random.random(), -math.inf)
    if pick == 15:
        kind = random.randrange(1, 25)
        shape = tuple(random.choice((0, 1, 2, 5, 40)) for _ in range(random.randrange(4)))
        count = math.prod(shape) * values.width_of(kind)
        data = bytes(random.choice(b"\0\1") for _ in range(count)) if kind == 1 else random.randbytes(count)
        return values.Array(kind, shape, random.random() < 0.3 and len(shape) > 1, data)
    several = range(random.choice((0, 1, 3, 9, 20)))
    if pick < 18:
        return [chance(random, depth + 1) for _ in several]
    if pick == 18:
        return tuple(chance(random, depth + 1) for _ in several)
    if pick == 19:
        return {key() for _ in several}
    return {key(): chance(random, depth + 1) for _ in several}


@unittest.skipIf(sys.version_info < (3, 9), "random.randbytes is of 3.9")
class AgainstTheCore(unittest.TestCase):
    """What the encoder writes the core's validator takes; what is broken somewhere both refuse alike."""

    def test_both_say_the_same_of_whatever_comes(self):
        sys.path.insert(0, str(Path(__file__).parent))
        import value_core

        check = value_core.load()
        if check is None:
            if os.environ.get("LAUTER_MUST_RUN") == "1":
                self.fail("no library in LAUTER_BUILD")
            self.skipTest("no library: set LAUTER_BUILD")
        seed = int(os.environ.get("LAUTER_SEED", random.randrange(1 << 32)))
        print("values: seed %d" % seed, file=sys.stderr)
        chances = random.Random(seed)
        broken = 0
        for turn in range(1500):
            value = chance(chances)
            parts = data_of(encode(value))
            where = "LAUTER_SEED=%d, turn %d" % (seed, turn)
            self.assertIsNone(check(parts), where)
            self.assertTrue(same(decode(parts), value), where)
            for _ in range(4):
                wrong = [bytearray(part) for part in parts]
                for _ in range(chances.choice((1, 1, 1, 3))):
                    part = chances.choice(wrong)
                    at = chances.randrange(len(part) + 1)
                    way = chances.randrange(4)
                    if way == 0 and at < len(part):
                        part[at] = chances.choice((part[at] ^ 1 << chances.randrange(8), chances.randrange(256)))
                    elif way == 1:
                        del part[at:]
                    elif way == 2:
                        part[at:at] = chances.randbytes(2)
                    else:
                        piece = part[at : at + 9]
                        part[at:at] = piece
                try:
                    decode([bytes(part) for part in wrong])
                    found = None
                except Broken as error:
                    found = error.offset, error.reason
                except NotHeld:
                    continue  # a fault of the core's may follow
                self.assertEqual(check(wrong), found, "%s: %s" % (where, [part.hex() for part in wrong]))
                broken += found is not None
        self.assertGreater(broken, 1000)


NUMPY = r"""
import sys, tracemalloc
import numpy as np
from lauter_runtime import values
from lauter_runtime.values_in import decode

def back(value):
    return decode([data for _, data in values.encode(value)])

def same(one, other):
    assert type(one) is type(other) is np.ndarray, (type(one), type(other))
    assert one.dtype == other.dtype and one.shape == other.shape, (one, other)
    np.testing.assert_array_equal(one, other)

grid = np.arange(600.0).reshape(20, 30)
for dtype in "?bhilBHILefdFD":
    same(back(grid.astype(dtype)), grid.astype(dtype))
    same(back(grid.astype(dtype)[:2, :2]), grid.astype(dtype)[:2, :2])
for unit in "s ms us ns D".split():
    for kind in "Mm":
        dtype = "%s8[%s]" % (kind, unit)
        times = np.array([0, 5, -3, "NaT"], "m8[s]").astype("i8").astype(dtype)
        same(back(times), times)
assert back(np.asfortranarray(grid)).flags.f_contiguous and not back(np.asfortranarray(grid)).flags.c_contiguous
same(back(np.asfortranarray(grid)), grid)
same(back(grid[::-1, ::2]), grid[::-1, ::2])
same(back(np.broadcast_to(np.float32(2), (3, 400))), np.full((3, 400), 2, "f4"))
same(back(grid.astype(">f8")), grid)
for shape in ((), (0,), (3, 0, 2), (1,) * 32):
    same(back(np.zeros(shape)), np.zeros(shape))
same(back(np.array([2, 0, 1] * 999, "u1").view("?")), np.array([True, False, True] * 999))
assert back([np.int8(-3), np.uint64(2**64 - 1), np.float32(0.5), np.complex64(1j), np.bool_(True), np.str_("a"), np.bytes_(b"b")]) == \
    [-3, 2**64 - 1, 0.5, 1j, True, "a", b"b"]
assert back({np.int64(4): 1, np.str_("k"): 2}) == {4: 1, "k": 2}
same(back(np.datetime64("2024-01-02T03:04:05.678")), np.array("2024-01-02T03:04:05.678", "M8[ms]"))
for wrong, words in (
    (np.array(["a"]), "x: an array of <U1"), (np.array([len]), "x: an array of object"),
    (np.zeros(2, "i4,f4"), "x: an array of "), (np.ma.array([1], mask=[1]), "x: a masked array"),
    (np.zeros(1, "M8[M]"), "x: an array of datetime64[M]"), (np.longdouble(1), "x: a %s has no value form" % type(np.longdouble(1)).__name__),
):
    try:
        values.encode(wrong)
    except values.NoValueForm as error:
        assert str(error).startswith(words), error
    else:
        raise AssertionError(words)
assert np.asarray(values.Array(12, (2, 2), True, np.arange(4.0).tobytes())).tolist() == [[0, 2], [1, 3]]

large = np.ones(50 << 20 >> 3)
tracemalloc.start()
for value in (large, np.asfortranarray(large.reshape(512, -1).T), large.reshape(16, -1).view("M8[ns]"), {"a": [large]}):
    parts = values.encode(value)
    found = decode([data for _, data in parts])
    assert np.shares_memory(found["a"][0] if isinstance(found, dict) else found, large)
peak = tracemalloc.get_traced_memory()[1]
assert peak < 100_000, peak
same(large[:2] * 0 + 1, large[:2])
bools = np.ones(50 << 20, "?")
tracemalloc.reset_peak()
before = tracemalloc.get_traced_memory()[0]
assert np.shares_memory(back(bools), bools)
assert tracemalloc.get_traced_memory()[1] - before < 2_000_000
print("all")
"""


class NumPy(unittest.TestCase):
    def test_arrays_come_back_and_large_ones_are_not_copied(self):
        if not has("numpy"):
            if os.environ.get("LAUTER_MUST_RUN") == "1":
                self.fail("%s has no numpy" % fake_host.INTERPRETER)
            self.skipTest("no numpy")
        done = subprocess.run(
            [fake_host.INTERPRETER, "-c", NUMPY],
            env={**os.environ, "PYTHONPATH": fake_host.RUNTIME}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.assertEqual((done.stdout, done.returncode), (b"all\n", 0), done.stderr.decode())


if __name__ == "__main__":
    unittest.main()
