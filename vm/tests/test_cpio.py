# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
import io
import unittest

from luovm import cpio


def entries(data):
    """[(name, mode, contents, device)]: a reader of newc, to check the writer with."""
    found, offset = [], 0
    while True:
        while data[offset:offset + 1] == b"\0":
            offset += 1
        assert data[offset:offset + 6] == b"070701", data[offset:offset + 6]
        fields = [int(data[offset + 6 + 8 * i:offset + 14 + 8 * i], 16) for i in range(13)]
        size, name_size = fields[6], fields[11]
        name = data[offset + 110:offset + 110 + name_size - 1].decode()
        offset = (offset + 110 + name_size + 3) & ~3
        if name == "TRAILER!!!":
            return found
        found.append((name, fields[1], data[offset:offset + size], tuple(fields[9:11])))
        offset = (offset + size + 3) & ~3


def written(fill):
    out = io.BytesIO()
    writer = cpio.Writer(out)
    fill(writer)
    writer.close()
    return out.getvalue()


class Writer(unittest.TestCase):
    def test_parents_come_first_and_once(self):
        data = written(lambda w: (w.file("a/b/one", b"1"), w.file("a/b/two", b"22", 0o755)))
        self.assertEqual([(n, m & 0o777) for n, m, _, _ in entries(data)],
                         [("a", 0o755), ("a/b", 0o755), ("a/b/one", 0o644), ("a/b/two", 0o755)])

    def test_contents_of_any_length_stay_aligned(self):
        for size in range(9):
            data = written(lambda w: (w.file("f", b"x" * size), w.file("g", b"next")))
            self.assertEqual([c for _, _, c, _ in entries(data)], [b"x" * size, b"next"])

    def test_links_and_devices(self):
        data = written(lambda w: (w.symlink("bin", "usr/bin"), w.character_device("dev/console", 5, 1)))
        found = {name: (mode >> 12, contents, device) for name, mode, contents, device in entries(data)}
        self.assertEqual(found["bin"], (0o12, b"usr/bin", (0, 0)))
        self.assertEqual(found["dev/console"], (0o02, b"", (5, 1)))

    def test_archives_can_follow_each_other(self):
        one = written(lambda w: w.file("one", b"1"))
        self.assertEqual(len(one) % cpio.BLOCK, 0)

    def test_same_input_same_bytes(self):
        self.assertEqual(written(lambda w: w.file("a", b"b")), written(lambda w: w.file("a", b"b")))
