# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
#
# Shared by all programs of luo-vm in the guest.
#
# The second serial port carries the output of the stages and the messages to the host. A message is a JSON
# object between a record separator and a unit separator. The tty layer does not mix two write(2) calls, so
# each message is a single write, and output of a stage cannot split it.

LUOVM_PORT=/dev/ttyS1
# printf of the shell writes a line of up to this size in one write(2).
LUOVM_MESSAGE_MAX=3000

luovm_send() {
	printf '\036%s\037\n' "$1" >"$LUOVM_PORT"
}

# A kexec or a reset drops bytes that the port has not sent yet. Setting an attribute waits until they are sent.
luovm_drain() {
	stty -F "$LUOVM_PORT" raw -echo
}

luovm_name_is_safe() {
	case $1 in
	'' | *[!A-Za-z0-9._:+@/-]*) return 1 ;;
	esac
}
