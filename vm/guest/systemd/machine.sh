# The part that depends on the kind of guest: a guest with systemd on a disk. Installed as /luovm/machine.sh.

# The next boot needs only the disk. Programs that require an initrd get an empty archive.
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
	# No stage follows, so an orderly shutdown, which takes seconds, is not needed.
	poweroff) systemctl poweroff -ff ;;
	*) systemctl "$1" ;;
	esac
}
