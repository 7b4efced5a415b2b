# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
. /usr/lib/luo/tests/lib.sh

socket=/run/kvd.sock
items=4000

ask() {
	luo-test-kvd ask $socket "$1"
}

answers() {
	ask version
}

# kvd_start STATE: it answers, and has found its heap in that state.
kvd_start() {
	luo-run --unit kvd --restart-safe --required -- kvd -v -s $socket -m 32 >/dev/console 2>&1 &
	kvd=$!
	check "kvd answers" eventually 20 answers
	check "stats" ask stats
	said "its heap is $1" "^STAT heap_state $1\$"
	grep -E 'curr_items|bytes |heap_' "$output" | sed 's/^/# /'
}

kvd_kill() {
	check "SIGKILL" kill -9 "$(ask stats | sed -n 's/^STAT pid //p')"
	wait $kvd
}

verify() {
	tap "$1" luo-test-kvd verify $socket $items
}

sound() {
	check "the heap is sound" luoctl heap check kvd kvd
	sed 's/^/# /' "$output"
}
