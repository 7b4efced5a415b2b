# The TAP of these scenarios, and what they all look at.
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
