# SPDX-License-Identifier: Apache-2.0
"""NumPy with its threads and files; Matplotlib into a picture that is decoded again."""

import os
import struct
import zlib

import matplotlib
import numpy

matplotlib.use("agg")
import matplotlib.pyplot as plot  # noqa: E402

random = numpy.random.default_rng(1)
a = random.standard_normal((600, 600))
assert numpy.allclose(a @ numpy.linalg.inv(a), numpy.eye(600), atol=1e-6), "BLAS and LAPACK, on all processors"
assert numpy.allclose(numpy.fft.ifft(numpy.fft.fft(a[0])), a[0])
values = numpy.memmap("values", dtype="f8", mode="w+", shape=(1000, 100))
values[:] = numpy.arange(100)
values.flush()
assert numpy.memmap("values", dtype="f8", mode="r", shape=(1000, 100)).sum() == 4_950_000
numpy.savez_compressed("many.npz", a=a)
assert numpy.array_equal(numpy.load("many.npz")["a"], a)

figure, axes = plot.subplots(figsize=(4, 3), dpi=100)
axes.plot(numpy.cumsum(random.standard_normal(500)), label="Spaziergang — 散歩 $x^2$")
axes.legend()
figure.savefig("walk.png")
figure.savefig("walk.pdf")
figure.savefig("walk.svg")
picture = open("walk.png", "rb").read()
assert picture[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", picture[16:24]) == (400, 300)
at, data = 8, b""
while at < len(picture):
    size, kind = struct.unpack(">I4s", picture[at : at + 8])
    data += picture[at + 8 : at + 8 + size] if kind == b"IDAT" else b""
    at += 12 + size
assert len(zlib.decompress(data)) == 300 * (1 + 4 * 400)
assert os.path.getsize("walk.pdf") > 1000 and os.path.getsize("walk.svg") > 1000
print("DONE")
