# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
. /usr/lib/luo/tests/lib.sh
. /usr/lib/luo/tests/systemd.sh

# started STATE START UPDATES: what heap-counter has said at its last start.
last_line() {
	journalctl -b --no-pager -o cat -t heap-counter | grep ' kernel updates: ' | tail -n 1
}

is_start() {
	last_line | grep -Eq "^$1: start $2 since .*, kernel updates: $3, "
}

started() {
	if eventually 60 is_start "$@"; then
		ok "start $2 ($1, $3 kernel updates)"
	else
		journalctl -b --no-pager -u heap-counter.service -u luod.service | tail -n 20 >"$output"
		not_ok "start $2 ($1, $3 kernel updates)"
	fi
	last_line | sed 's/^/# /'
}

# counted N: it has counted at least so far since its first start.
counted() {
	is=$(last_line | sed 's/.*count: //')
	if [ "${is:-0}" -ge "$1" ]; then ok "it continues from $1 or more"; else not_ok "count is '$is', not $1 or more"; fi
	last=$is
}

sound() {
	in_store heap-counter.service 1
	check "the heap is sound, beside its owner" luoctl heap check heap-counter.service counter
	sed 's/^/# /' "$output"
}
