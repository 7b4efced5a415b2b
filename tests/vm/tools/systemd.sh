# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
# Shared by the scenarios with systemd, after lib.sh: services that keep the entries of a list.

mkdir -p /etc/luo-test

# toolkit: enable luod, the hook and the generator, as an administrator does.
toolkit() {
	check "luoctl enable" luoctl enable
	check "luod answers" luoctl status
}

# service UNIT LIST [LINE...]: a service that stores the entries of the file LIST of the scenario, or verifies
# them if it was given fds. LINEs are added to its [Service] section, and can start another section.
service() {
	unit=$1 list=$2
	shift 2
	cp "$list" "/etc/luo-test/$unit.list"
	{
		echo "[Unit]"
		echo "Description=Test service $unit"
		echo "[Install]"
		echo "WantedBy=multi-user.target"
		echo "[Service]"
		echo "Type=notify"
		echo "ExecStart=$tests/luo-test-service serve /etc/luo-test/%n.list %n"
		echo "FileDescriptorStoreMax=100"
		echo "FileDescriptorStorePreserve=yes"
		for line; do echo "$line"; done
	} >"/etc/systemd/system/$unit"
}

# start UNIT...: start after a daemon-reload, and enable for the next boots.
start() {
	systemctl -q --no-reload enable "$@" 2>/dev/null
	systemctl daemon-reload
	for unit; do
		check "$unit starts" systemctl start "$unit"
	done
}

# stored UNIT: it was given no fd, and has stored all entries.
stored() {
	check "$1 has stored everything" grep -qx stored "/run/luo-test/$1.tap"
}

# verified UNIT: it was given all entries, and they are unchanged.
verified() {
	if [ ! -s "/run/luo-test/$1.tap" ]; then
		echo "/run/luo-test/$1.tap is missing" >"$output"
		not_ok "$1 was started"
		systemctl status --no-pager -n 30 "$1" "luod.service" 2>&1 | sed 's/^/# /'
		return
	fi
	if grep -qx stored "/run/luo-test/$1.tap"; then
		journalctl -b --no-pager -u "$1" -u luod.service 2>/dev/null | tail -n 30 >"$output"
		not_ok "$1 was given what it had stored"
		return
	fi
	tap "$1" cat "/run/luo-test/$1.tap"
}

# in_store UNIT N: PID 1 has N fds of the unit.
in_store() {
	is=$(systemctl show -P NFileDescriptorStore "$1")
	echo "NFileDescriptorStore is $is" >"$output"
	if [ "$is" = "$2" ]; then ok "PID 1 has $2 fds of $1"; else not_ok "PID 1 has $2 fds of $1"; fi
}

# held UNIT N: luod holds N fds of the unit.
held() {
	luoctl list "$1" >"$output" 2>&1
	is=$(grep -c 'held' "$output")
	if [ "$is" = "$2" ]; then ok "luod holds $2 fds of $1"; else not_ok "luod holds $2 fds of $1"; fi
}

# again UNIT: restart it, so that it writes its files again.
again() {
	rm -f "/run/luo-test/$1.tap"
	check "$1 is restarted" systemctl restart "$1"
}
