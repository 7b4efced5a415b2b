# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
. /usr/lib/luo/tests/lib.sh

counter="luo-run --unit heap-counter --restart-safe --required -- luo-example-heap-counter"

# starts DESCRIPTION PATTERN COMMAND...: the counter starts, and the start of its output matches.
starts() {
	description=$1 pattern=$2
	shift 2
	check "$description" "$@"
	said "its output matches" "^$pattern"
	sed 's/^/# /' "$output"
}

# killed_while_counting COMMAND...: until it has counted for a moment.
killed_while_counting() {
	"$@" >/tmp/killed 2>&1 &
	eventually 20 grep -q start /tmp/killed || { cat /tmp/killed; return 1; }
	sleep 0.2
	kill -9 $! && ! wait $!
}

sound() {
	check "the heap is sound" luoctl heap check heap-counter counter
	sed 's/^/# /' "$output"
}
