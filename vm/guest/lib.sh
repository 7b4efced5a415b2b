# Shared by everything of luo-vm's that runs in the guest.
#
# The second serial port carries the output of the stages and, between a record separator and a unit
# separator, one JSON object per message to the host. The tty layer does not mix two write(2) calls,
# so each message leaves in a single write and stage output can never tear it.

LUOVM_PORT=/dev/ttyS1
# The shell's printf hands over whole lines up to this size in one write.
LUOVM_MESSAGE_MAX=3000

luovm_send() {
	printf '\036%s\037\n' "$1" >"$LUOVM_PORT"
}

# A kexec or a reset drops what the port has not sent yet. Setting any attribute waits for it.
luovm_drain() {
	stty -F "$LUOVM_PORT" raw -echo
}

luovm_name_is_safe() {
	case $1 in
	'' | *[!A-Za-z0-9._:+@/-]*) return 1 ;;
	esac
}
