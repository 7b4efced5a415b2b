# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
import unittest

from luovm.control import Demultiplexer

ALIVE = b'\x1e{"type":"alive"}\x1f\n'


def feed(*pieces):
    demultiplexer = Demultiplexer()
    events = [event for piece in pieces for event in demultiplexer.feed(piece)]
    return events + demultiplexer.flush()


class Demultiplex(unittest.TestCase):
    def test_lines_and_messages_keep_their_order(self):
        self.assertEqual(feed(b"one\n" + ALIVE + b"two\n"),
                         [("line", "one"), ("message", {"type": "alive"}), ("line", "two")])

    def test_a_message_inside_a_line_does_not_break_it(self):
        self.assertEqual(feed(b"half" + ALIVE + b"and half\n"),
                         [("message", {"type": "alive"}), ("line", "halfand half")])

    def test_any_split(self):
        whole = b"one\n" + ALIVE + b"two\n\nthree"
        for size in range(1, 9):
            pieces = [whole[i:i + size] for i in range(0, len(whole), size)]
            self.assertEqual(feed(*pieces), feed(whole))

    def test_message_cut_off_by_a_reset(self):
        self.assertEqual(feed(b'\x1e{"type":"fi' + ALIVE), [("message", {"type": "alive"})])

    def test_a_port_that_is_not_set_up(self):
        self.assertEqual(feed(b'\x1e{"type":"alive"}\x1f\r\none\r\n'), [("message", {"type": "alive"}), ("line", "one")])

    def test_garbage_is_an_error(self):
        for garbage in (b"\x1enot json\x1f", b"\x1e[1]\x1f", b'\x1e{"no":"type"}\x1f', b"\x1e\xff\xfe\x1f"):
            ((kind, message),) = feed(garbage)
            self.assertEqual((kind, message["type"]), ("message", "error"))

    def test_endless_line_and_message(self):
        self.assertTrue(all(len(text) <= 65537 for _, text in feed(b"x" * 200000)))
        self.assertEqual(feed(b"\x1e" + b"x" * 70000)[0][1]["type"], "error")

    def test_undecodable_output(self):
        self.assertEqual(feed(b"\xff\n"), [("line", "\ufffd")])
