# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
# Shared by the stages of the scenarios: TAP with continuous numbers, and luod in a guest.

tests=/usr/lib/luo/tests
PATH=$PATH:$tests
n_tests=0
output=/tmp/output.$$

ok() {
	n_tests=$((n_tests + 1))
	echo "ok $n_tests - $*"
}

not_ok() {
	n_tests=$((n_tests + 1))
	echo "not ok $n_tests - $*"
	[ ! -s "$output" ] || sed 's/^/#   /' "$output"
}

# check DESCRIPTION COMMAND...: the command succeeds. Its output is in the file $output.
check() {
	description=$1
	shift
	if "$@" >"$output" 2>&1; then ok "$description"; else not_ok "$description (exit status $?)"; fi
}

# refuses STATUS DESCRIPTION COMMAND...: the command fails with this exit status.
refuses() {
	wanted=$1 description=$2
	shift 2
	"$@" >"$output" 2>&1
	status=$?
	if [ $status = "$wanted" ]; then ok "$description"; else not_ok "$description (exit status $status, not $wanted)"; fi
}

# said DESCRIPTION PATTERN: the output of the last command matches.
said() {
	if grep -Eq -- "$2" "$output"; then ok "$1"; else not_ok "$1 (no match for: $2)"; fi
}

# tap PREFIX COMMAND...: run a program that prints TAP, and include its results.
tap() {
	prefix=$1
	shift
	"$@" >"$output" 2>&1
	status=$?
	failed=0
	while IFS= read -r line; do
		case $line in
		"ok "*) ok "$prefix: ${line#* - }" ;;
		"not ok "*)
			n_tests=$((n_tests + 1)) failed=1
			echo "not ok $n_tests - $prefix: ${line#* - }"
			;;
		1..*) ;;
		*) echo "# $line" ;;
		esac
	done <"$output"
	# A program that crashes must not pass as a program with fewer tests.
	[ $status = 0 ] || [ $failed = 1 ] || not_ok "$prefix: exit status $status"
}

done_testing() {
	echo "1..$n_tests"
}

# status_of KEY: a number or a word from the top level of `luoctl status --json`.
status_of() {
	luoctl status --json 2>/dev/null | tr -d '\n' | sed -n 's/.*"'"$1"'": *"\{0,1\}\([^",}]*\)"\{0,1\}.*/\1/p'
}

# eventually SECONDS COMMAND...: the command succeeds within that time.
eventually() {
	left=$(($1 * 20))
	shift
	until "$@" >/dev/null 2>&1; do
		left=$((left - 1))
		[ $left -gt 0 ] || return 1
		sleep 0.05
	done
}

# luod_start [OPTION...]: start luod with its keeper, as an init script does.
luod_start() {
	luod --supervise "$@" </dev/null >/dev/console 2>&1 &
	keeper=$!
	if eventually 20 luoctl status; then ok "luod answers"; else not_ok "luod answers"; fi
}

luod_pid() {
	status_of pid
}

# Kill luod, and wait until its keeper has started another one.
luod_kill() {
	old=$(luod_pid)
	kill -9 "$old"
	eventually 20 luod_is_not "$old"
}

luod_is_not() {
	now=$(luod_pid)
	[ -n "$now" ] && [ "$now" != "$1" ]
}

# store UNIT LIST: a service stores the entries of the list and keeps running.
store() {
	check "$1 stores its memory" luo-run --unit "$1" --fdstore-max 4096 --required -- luo-test-service store "$2" --stay
}

# verify UNIT LIST: the service starts again and gets the entries of the list.
verify() {
	tap "$1" luo-run --unit "$1" --fdstore-max 4096 --required -- luo-test-service verify "$2"
}

commit() {
	check "commit" luoctl commit "$@"
}

# The number of LUO sessions that processes have open.
open_sessions() {
	ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c 'anon_inode:\[luo_session\]'
}

available_kib() {
	sed -n 's/^MemAvailable: *\([0-9]*\).*/\1/p' /proc/meminfo
}
