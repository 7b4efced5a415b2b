# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
# Shared by the guests of both demos. Their lib.sh sources it.

PATH=/usr/lib/luo/demo:$PATH
answers=/tmp/answers

# phase NAME: mark the start of a phase in the log and on the timeline.
phase() {
	echo "demo-phase $1"
	luo-vm-mark "$1"
}

fail() {
	echo "demo-failure $*"
	exit 1
}

# eventually COMMAND...: the command succeeds within 20 seconds.
eventually() {
	left=400
	until "$@" >/dev/null 2>&1; do
		left=$((left - 1))
		[ $left -gt 0 ] || fail "did not happen: $*"
		sleep 0.05
	done
}

# ask PORT REQUEST: the answer of the counter (7001) or of mini-vmm (7002).
ask() {
	echo "$2" | nc 127.0.0.1 "$1"
}

answers() {
	[ -n "$(ask "$1" "$2")" ]
}

# Facts that identify a kernel and a boot.
kernel_facts() {
	echo "release=$(uname -r)"
	echo "boot_id=$(cat /proc/sys/kernel/random/boot_id)"
	echo "btime=$(sed -n 's/^btime //p' /proc/stat)"
}

# record KEY COMMAND...: add the output of the command to $answers.
record() {
	key=$1
	shift
	echo "$key=$("$@")" >>$answers
}

# fd_of PID NAME: the number of the fd of this name in a process, whether it was given or created.
fd_of() {
	fd=3
	for given in $(tr '\0' '\n' </proc/$1/environ | sed -n 's/^LISTEN_FDNAMES=//p' | tr : ' '); do
		[ "$given" != "$2" ] || { echo $fd; return; }
		fd=$((fd + 1))
	done
	for fd in /proc/$1/fd/*; do
		case $(readlink "$fd") in
		"/memfd:$2 "*) echo "${fd##*/}"; return ;;
		esac
	done
}

# sum UNIT NAME PID FD: sha256 of the contents of an fd of a process.
sum() {
	digest=$(sha256sum "/proc/$3/fd/$4") || fail "$1 does not have $2"
	echo "$1 $2 ${digest%% *}"
}

# Every memfd once. The arguments are a command that reads the memfd that has grown since the kexec.
sums() {
	sum counter.service counters $counter "$(fd_of $counter counters)"
	digest=$("$@" /proc/$notes/fd/8 | sha256sum)
	echo "notes.service starts ${digest%% *}"
	sum notes.service notes $notes 9
	for name in ram vcpu config; do
		sum vmm.service $name $vmm "$(fd_of $vmm $name)"
	done
}

# ---- work of the services, and their state ---------------------------------------------------

work_before() {
	for visitor in ada brian grace ada linus grace ada barbara ada; do
		ask 7001 "incr $visitor" >/dev/null
	done
	echo "the kernel will be replaced soon" >/run/notes
	echo "remember the milk" >/run/notes
	ask 7002 "run 200000" >/dev/null
	record visits ask 7001 total
	record ada ask 7001 "get ada"
	record steps ask 7002 "run 0"
	eventually grep -q milk /proc/$notes/fd/9
	record notes grep -c . /proc/$notes/fd/9
}

state_of_services() {
	record visits ask 7001 total
	record ada ask 7001 "get ada"
	record steps ask 7002 "run 0"
	record check ask 7002 check
	record fds ask 7002 fds
	record notes grep -c . /proc/$notes/fd/9
}

work_after() {
	ask 7001 "incr ada" >/dev/null
	echo "it was" >/run/notes
	ask 7002 "run 50000" >/dev/null
	record visits_then ask 7001 total
	record ada_then ask 7001 "get ada"
	record shared_then ask 7002 visits
	record steps_then ask 7002 "run 0"
	record check_then ask 7002 check
	eventually grep -q "it was" /proc/$notes/fd/9
	record notes_then grep -c . /proc/$notes/fd/9
	cat /proc/$notes/fd/9 >/tmp/notes
}

# send WHEN FILE...: send files of /tmp to the host.
send() {
	when=$1
	shift
	for file; do
		luo-vm-file /tmp/$file $when/$file
	done
}
