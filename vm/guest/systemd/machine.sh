# What differs between kinds of guests; this is a guest with systemd on a disk. Installed as /luovm/machine.sh.

# The disk has all that the next boot needs. An archive with nothing in it is there for programs that
# insist on an initrd.
machine_next_initrd() {
	LUOVM_NEXT_INITRD=/luovm/empty-initrd
}

machine_kexec_now() {
	sync
	exec kexec -e -x
}

machine_kexec() {
	exec systemctl kexec
}

machine_leave() {
	case $1 in
	kexec) luo-vm-kexec ;;
	# Nothing comes after it that could miss an orderly end, which takes seconds.
	poweroff) systemctl poweroff -ff ;;
	*) systemctl "$1" ;;
	esac
}
