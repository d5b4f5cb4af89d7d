# SPDX-License-Identifier: Apache-2.0
# A virtual environment; pip with a source distribution from a folder, and with a wheel from an index on the loopback.
set -euo pipefail
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
python3 -m venv environment
mkdir -p source/inside_example simple/inside-example folder
echo 'def answer(): return 42' >source/inside_example/__init__.py
cat >source/pyproject.toml <<'END'
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "inside-example"
version = "1.0"
END
# The least of a backend, so that nothing has to come from elsewhere.
cat >source/backend.py <<'END'
import base64, hashlib, os, tarfile, zipfile
NAME = "inside_example-1.0"
def build_wheel(folder, settings=None, metadata=None):
    name = f"{NAME}-py3-none-any.whl"
    files = {
        "inside_example/__init__.py": open("inside_example/__init__.py").read(),
        f"{NAME}.dist-info/METADATA": "Metadata-Version: 2.1\nName: inside-example\nVersion: 1.0\n",
        f"{NAME}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = ""
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            record += f"{path},sha256={digest},{len(text)}\n"
        wheel.writestr(f"{NAME}.dist-info/RECORD", record + f"{NAME}.dist-info/RECORD,,\n")
    return name
def build_sdist(folder, settings=None):
    with tarfile.open(os.path.join(folder, f"{NAME}.tar.gz"), "w:gz") as archive: archive.add(".", NAME)
    return f"{NAME}.tar.gz"
END
(cd source && python3 -c 'import backend; backend.build_sdist("../folder"); backend.build_wheel("../simple/inside-example")')

environment/bin/pip install --quiet --no-index --find-links folder inside-example
environment/bin/python -c 'import inside_example; assert inside_example.answer() == 42'
environment/bin/pip uninstall --quiet --yes inside-example

python3 -m http.server --bind 127.0.0.1 8000 >server.log 2>&1 &
server=$!
until bash -c 'exec 3<>/dev/tcp/127.0.0.1/8000' 2>/dev/null; do sleep 0.05; done
environment/bin/pip install --quiet --index-url http://127.0.0.1:8000/simple inside-example
environment/bin/python -c 'import inside_example; assert inside_example.answer() == 42'
grep -q 'GET /simple/inside-example/' server.log
kill "$server"
echo DONE
