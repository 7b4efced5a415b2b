# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
# Shared by both stages.

. /usr/lib/luo/demo/lib.sh

# luo-run is all that a service needs to run under luod.
start_services() {
	luo-run --unit counter.service --required -- counter &
	counter=$!
	luo-run --unit notes.service --required -- keep-memfd 8=starts 9=notes -- notes &
	notes=$!
	eventually answers 7001 total
	luo-vm-mark up:counter.service
	luo-run --unit vmm.service --required -- mini-vmm &
	vmm=$!
	eventually [ -p /run/notes ]
	luo-vm-mark up:notes.service
	eventually answers 7002 "run 0"
	luo-vm-mark up:vmm.service
}

stop_services() {
	kill $vmm $notes $counter
	# Their memory survives them, so they have nothing to save.
	wait $vmm $notes $counter 2>/dev/null
}
