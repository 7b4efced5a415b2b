# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
#
# The part that depends on the kind of guest: the minimal guest. Installed as /luovm/machine.sh.

# The next boot gets the initramfs of this boot without the kernels that no later boot needs.
machine_next_initrd() {
	LUOVM_NEXT_INITRD=/run/luovm/next-initrd
	if [ ! -r /sys/firmware/initrd ]; then
		luovm_send '{"type":"error","text":"cannot kexec: this kernel does not keep its initramfs in /sys/firmware/initrd; use Linux 6.8 or later and retain_initrd"}'
		return 1
	fi
	eval "cut=\$LUOVM_CUT_$1"
	size=$(stat -c %s /sys/firmware/initrd)
	head -c $((size - cut)) /sys/firmware/initrd >"$LUOVM_NEXT_INITRD"
}

# Neither sync nor shut interfaces down: the guest has no disk and no network.
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
