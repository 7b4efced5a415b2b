# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
. /usr/lib/luo/tests/lib.sh
. /usr/lib/luo/tests/systemd.sh

socket=/run/kvd/kvd.sock
items=4000

ask() {
	luo-test-kvd ask $socket "$1"
}

# has STATE: kvd is up, and has found its heap in that state.
has() {
	check "kvd answers" eventually 60 ask version
	check "stats" ask stats
	said "its heap is $1" "^STAT heap_state $1\$"
	grep -E 'curr_items|bytes |heap_' "$output" | sed 's/^/# /'
	in_store kvd.service 1
}

verify() {
	tap "$1" luo-test-kvd verify $socket $items
}

sound() {
	check "the heap is sound, beside its owner" luoctl heap check kvd.service kvd
	sed 's/^/# /' "$output"
}

is_another() {
	[ "$(systemctl show -P MainPID kvd.service)" != "$pid" ] && ask version
}

killed() {
	pid=$(systemctl show -P MainPID kvd.service)
	check "SIGKILL" systemctl kill -s KILL kvd.service
	check "systemd starts it again" eventually 60 is_another
}
