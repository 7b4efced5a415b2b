# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
"""scripts/check-layers: a tree that obeys its rules, and one planted violation of each kind."""

import contextlib
import io
import os
import subprocess
import tempfile
import unittest

from tests import load

check_layers = load.script("check-layers")

GOOD = {
    "meson.build": "subdir('common')\nsubdir('libluo')\nsubdir('tools/ctl')\nlibexecdir = 'libexec'\n",
    "common/README.md": "# common\n\nMay include: nothing.\n",
    "common/util.h": "#include <stdio.h>\n",
    "common/util.c": '#include "common/util.h"\n',
    "common/meson.build": "common = static_library('common', 'util.c')\n",
    "libluo/meson.build": "inc = include_directories('.', '..')\n"
                          "luo = static_library('luo', 'session/session.c', dependencies: common)\n",
    "libluo/luo/README.md": "May include: nothing.\n",
    "libluo/luo/session.h": "#include <luo/memfd.h>\n",
    "libluo/luo/memfd.h": "",
    "libluo/session/README.md": "# session\n\nMay include: `common`,\n`libluo/luo`. Start with session.c.\n",
    "libluo/session/session.c": '#include <luo/session.h>\n#include "common/util.h"\n'
                                '#include "libluo/session/kernel.h"\n/*\n#include "nowhere.h"\n*/\n',
    "libluo/session/kernel.h": "",
    "tools/ctl/README.md": "May include: `libluo/session`, `common`, `libluo/luo`.\n",
    "tools/ctl/main.c": '#include "libluo/session/kernel.h"\n#include <json-c/json.h>\n',
    "tools/ctl/meson.build": "executable('ctl', 'main.c', dependencies: [luo, common])\ninstall_dir: libexecdir\n",
    "examples/README.md": "May include: `libluo/luo`.\n",
    "examples/kvd/main.c": '#include "kvd.h"\n#include <luo/memfd.h>\n',
    "examples/kvd/kvd.h": "",
    "tests/README.md": "May include: everything.\n",
    "tests/unit/session/test-session.c": '#include "tools/ctl/main.c"\n',
    "tests/unit/meson.build": "files('../../tools/ctl/main.c')\ninclude_directories('../fake')\n",
}


class CheckLayers(unittest.TestCase):
    def check(self, **options):
        """The violations of the good tree with some files replaced, added, or (None) removed."""
        files = {**GOOD, **options.get("files", {})}
        with tempfile.TemporaryDirectory() as top:
            subprocess.run(["git", "init", "-q", top], check=True)
            for path, text in files.items():
                if text is not None:
                    os.makedirs(os.path.dirname(os.path.join(top, path)), exist_ok=True)
                    with open(os.path.join(top, path), "w", encoding="utf-8") as file:
                        file.write(text)
            output = io.StringIO()
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(io.StringIO()):
                status = check_layers.main(["--top", top, *options.get("arguments", [])])
        lines = output.getvalue().splitlines()
        self.assertEqual(status, 1 if lines else 0)
        return lines

    def violation(self, where, text, files):
        lines = self.check(files=files)
        self.assertEqual(len(lines), 1, lines)
        self.assertTrue(lines[0].startswith(where + ": "), lines[0])
        self.assertIn(text, lines[0])

    def test_good_tree(self):
        self.assertEqual(self.check(), [])

    def test_forbidden_folder(self):
        self.violation("common/util.c:2", "common may not include libluo/session (libluo/session/kernel.h): the rule is "
                       '"May include: nothing." (common/README.md:3). Move',
                       {"common/util.c": '#include "common/util.h"\n#include "libluo/session/kernel.h"\n'})

    def test_forbidden_public_header(self):
        self.violation("common/util.c:1", "common may not include libluo/luo", {"common/util.c": "#include <luo/memfd.h>\n"})

    def test_folder_below_inherits_nothing(self):
        self.violation("common/json/README.md", "common/json has C files and no README.md", {"common/json/json.c": ""})
        self.violation("common/json/json.c:1", "common/json may not include common",
                       {"common/json/json.c": '#include "common/util.h"\n', "common/json/README.md": "May include: nothing.\n"})
        self.violation("tools/ctl/main.c:1", "tools/ctl may not include common/json",
                       {"common/json/json.h": "", "common/json/README.md": "May include: nothing.\n",
                        "tools/ctl/main.c": '#include "common/json/json.h"\n'})

    def test_examples(self):
        self.violation("examples/kvd/main.c:1", '"none.h" does not exist in examples/kvd/',
                       {"examples/kvd/main.c": '#include "none.h"\n'})
        self.violation("examples/kvd/main.c:1", "examples/kvd may not include common",
                       {"examples/kvd/main.c": '#include "common/util.h"\n'})

    def test_path_from_the_top(self):
        self.violation("libluo/session/session.c:1", '"kernel.h" is not a path from the top of the tree; write '
                       '"libluo/session/kernel.h"', {"libluo/session/session.c": '#include "kernel.h"\n'})
        self.violation("libluo/session/session.c:1", "write the path from the top",
                       {"libluo/session/session.c": '#  include "nowhere.h"\n'})
        self.violation("tests/unit/session/test-session.c:1", "is not a path from the top",
                       {"tests/unit/session/test-session.c": '#include "../other.h"\n'})

    def test_styles(self):
        path = "libluo/session/session.c"
        self.violation(path + ":1", '<common/util.h> is a header of this tree; write "common/util.h"',
                       {path: "#include <common/util.h>\n"})
        self.violation(path + ":1", '"libluo/luo/memfd.h" is a public header; write <luo/memfd.h>',
                       {path: '#include "libluo/luo/memfd.h"\n'})
        self.violation(path + ":1", "write <luo/memfd.h>", {path: '#include "luo/memfd.h"\n'})
        self.violation(path + ":1", "<luo/none.h> does not exist", {path: "#include <luo/none.h>\n"})

    def test_readmes(self):
        self.violation("common/README.md", "has C files and no README.md", {"common/README.md": None})
        self.violation("common/README.md", "there is no rule for common", {"common/README.md": "# common\n"})
        self.violation("common/README.md:1", "invalid rule", {"common/README.md": "May include: whatever it needs.\n"})
        self.assertEqual(self.check(files={"common/README.md": "May include: nothing else of the tree.\n"}), [])
        self.violation("common/README.md:1", "only tests/ may include everything",
                       {"common/README.md": "May include: everything.\n"})
        self.violation("tools/ctl/README.md:2", "`libluo/sesion` is not a folder",
                       {"tools/ctl/README.md": "\nMay include: `libluo/sesion`, `libluo/session`, `common`.\n"})

    def test_circle_of_rules(self):
        lines = self.check(files={"common/README.md": "May include: `libluo/session`.\n"})
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("the rules have a circle: common -> libluo/session -> common", lines[0])

    def test_meson_source_of_another_folder(self):
        self.violation("tools/ctl/meson.build:2", "'../../common/util.c' is a source file of another folder",
                       {"tools/ctl/meson.build": "executable('ctl', 'main.c',\n  '../../common/util.c')\n"})

    def test_meson_include_folder(self):
        self.violation("tools/ctl/meson.build:1", "'../../common' is an include folder besides the top",
                       {"tools/ctl/meson.build": "include_directories('../..', '../../common')\n"})

    def test_meson_variable(self):
        self.violation("common/meson.build:1", "common may not use luo of libluo/meson.build",
                       {"common/meson.build": "x = static_library('common', 'util.c', dependencies: luo)\ncommon = x\n"})
        self.assertEqual(self.check(files={"common/meson.build": "# luo\ncommon = static_library('luo', luo: 'x')\n"}), [])

    def test_arrows(self):
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            self.assertEqual(check_layers.main(["--arrows"]), 0)
        self.assertRegex(output.getvalue(), r"(?m)^bench -> .*libluo/luo")

    def library(self, code):
        with tempfile.TemporaryDirectory() as build:
            os.mkdir(os.path.join(build, "libluo"))
            subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", os.path.join(build, "libluo/libluo.so.0")],
                           input=code, text=True, check=True)
            return self.check(arguments=["--build", build])

    def test_library(self):
        self.assertEqual(self.library("int sd_notify(int); int f(void) { return sd_notify(0); }"), [])
        lines = self.library("int sd_bus_new(int); int f(void) { return sd_bus_new(0); }")
        self.assertEqual(len(lines), 1, lines)
        self.assertIn("libluo.so needs sd_bus_new()", lines[0])
        with tempfile.TemporaryDirectory() as build:
            self.assertEqual(self.check(arguments=["--build", build]),
                             [f"{build}: there is no libluo/libluo.so; build first"])


if __name__ == "__main__":
    unittest.main()
