# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
#
# Shared by the stages of harness-debian-*: TAP, and checks that all of them make.
number=0

ok() {
	status=$1
	shift
	number=$((number + 1))
	if [ "$status" -eq 0 ]; then
		echo "ok $number - $*"
	else
		echo "not ok $number - $*"
	fi
}

done_testing() {
	echo "1..$number"
}

settled() {
	state=$(systemctl is-system-running)
	[ "$state" = running ]
	ok $? "the system is $state"
	systemctl --failed --no-legend --plain
}

systemd_is() {
	systemctl --version | grep -q "^systemd $1 "
	ok $? "$(systemctl --version | head -n 1)"
}
