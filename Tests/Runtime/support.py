# SPDX-License-Identifier: Apache-2.0
"""What the runtime's tests share. LAUTER_TEST_PYTHON chooses the interpreter of the workers."""

import os
import subprocess
import unittest

import fake_host


def has(module):
    """Whether the workers' interpreter has a module."""
    return subprocess.run([fake_host.INTERPRETER, "-c", "import " + module], stderr=subprocess.DEVNULL).returncode == 0


def version():
    """(major, minor) of the workers' interpreter."""
    code = "import sys; print(sys.version_info[0], sys.version_info[1])"
    out = subprocess.run([fake_host.INTERPRETER, "-c", code], stdout=subprocess.PIPE, check=True).stdout
    return tuple(map(int, out.split()))


def needs(*modules, always=True):
    """Skip, with the reason, unless the workers' interpreter has these modules. LAUTER_MUST_RUN=1: fail if `always`."""

    def decorate(test):
        missing = [module for module in modules if not has(module)]
        if not missing:
            return test
        reason = "%s has no %s" % (fake_host.INTERPRETER, ", ".join(missing))
        if always and os.environ.get("LAUTER_MUST_RUN") == "1":

            def fail(self, *_):
                self.fail(reason)

            return type(test.__name__, (test,), {"setUp": fail}) if isinstance(test, type) else fail
        return unittest.skip(reason)(test)

    return decorate


class RuntimeTest(unittest.TestCase):
    """One worker a test, in `self.host`."""

    def setUp(self):
        self.host = fake_host.Host()
        self.addCleanup(self.host.close)

    def run_cell(self, source, **metadata):
        """A cell that must succeed: its Outcome."""
        outcome = self.host.execute(source, **metadata)
        self.assertTrue(outcome.ok, outcome.trace)
        return outcome

    def value(self, source, **metadata):
        """The text of a cell's value."""
        return self.run_cell(source, **metadata).text

    def fails(self, source, name, **metadata):
        """A cell that must fail with this name: its Outcome."""
        outcome = self.host.execute(source, **metadata)
        self.assertFalse(outcome.ok, outcome.answer)
        self.assertEqual(outcome.name, name, outcome.trace)
        self.assertNotIn("lauter_runtime", outcome.trace)
        return outcome
