# What differs between kinds of guests; this is the initramfs guest. Installed as /luovm/machine.sh.

# The next boot gets this boot's own initramfs, less the kernels that nobody needs any more.
machine_next_initrd() {
	LUOVM_NEXT_INITRD=/run/luovm/next-initrd
	if [ ! -r /sys/firmware/initrd ]; then
		luovm_send '{"type":"error","text":"this kernel does not keep its initramfs: /sys/firmware/initrd is missing (Linux 6.8 or later and retain_initrd are needed to kexec)"}'
		return 1
	fi
	eval "cut=\$LUOVM_CUT_$1"
	size=$(stat -c %s /sys/firmware/initrd)
	head -c $((size - cut)) /sys/firmware/initrd >"$LUOVM_NEXT_INITRD"
}

# No sync and no interfaces down: nothing here has a disk or a network to lose.
machine_kexec_now() {
	exec kexec -e -x -y
}

machine_kexec() {
	machine_kexec_now
}

machine_leave() {
	case $1 in
	kexec) luo-vm-kexec ;;
	reboot) reboot -f ;;
	poweroff) poweroff -f ;;
	esac
}
