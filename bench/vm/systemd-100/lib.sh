# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
#
# Sourced by the stages. A benchmark has nothing to save: what does not work ends it.
set -e
PATH=/usr/lib/luo/tests:$PATH
services=100

fail() {
	echo "not ok - $*"
	journalctl -b --no-pager -n 60 | sed 's/^/# /'
	exit 1
}

make_units() {
	i=0
	while [ $i -lt $services ]; do
		cat >/etc/systemd/system/bench-$i.service <<-'UNIT'
			[Unit]
			Description=Service of a benchmark
			[Service]
			Type=notify
			ExecStart=/usr/lib/luo/tests/luo-bench-service %N
			FileDescriptorStoreMax=10
			FileDescriptorStorePreserve=yes
			[Install]
			WantedBy=multi-user.target
		UNIT
		i=$((i + 1))
	done
	cd /etc/systemd/system
	systemctl -q enable bench-*.service
	systemctl start bench-*.service
	cd "$OLDPWD"
}

# What systemd does after multi-user.target (luo-pin.service) belongs to no measurement.
settle() {
	i=0
	until [ "$(systemctl list-jobs --no-legend)" = "" ]; do
		i=$((i + 1))
		[ $i -lt 300 ] || fail "systemd still has jobs"
		sleep 0.2
	done
}

# tell SIGNAL WORD: all services do what the signal means to them, and say so.
tell() {
	rm -rf /run/luo-bench
	systemctl kill --kill-whom=main -s "$1" 'bench-*.service'
	i=0
	until [ "$(cat /run/luo-bench/bench-*[0-9] 2>/dev/null | grep -cx "$2")" = $services ]; do
		i=$((i + 1))
		[ $i -lt 300 ] || fail "only $(cat /run/luo-bench/* | grep -cx "$2") of $services services say '$2'"
		sleep 0.2
	done
}

in_store() {
	systemctl show -P NFileDescriptorStore 'bench-*.service' | awk '{ n += $1 } END { print n + 0 }'
}

expect_in_store() {
	is=$(in_store)
	[ "$is" = "$1" ] || fail "PID 1 has $is fds of the services, and not $1"
}

usec() {
	systemctl show -P "$2" $1
}

# Sum of a property, or the largest, over the services.
over_services() {
	systemctl show -P "$2" 'bench-*.service' |
		awk -v how="$1" '{ s += $1; if ($1 > m) m = $1 } END { printf "%.0f", how == "sum" ? s : m }'
}

# The milliseconds that each luo-restore says it took.
restore_ms() {
	journalctl -b --no-pager -o cat -t luo-restore | sed -n 's/.* in \([0-9]*\) ms.*/\1/p' | sort -n
}

# measure WHAT: this boot, as systemd has seen it. All times are since the start of the kernel.
measure() {
	restore_ms >/run/ms
	cat >/run/boot.jsonl <<-JSON
		{"bench": "systemd-100", "what": "$1", "files": 500, "bytes": 4096, "values": {
		"multi_user": $(usec multi-user.target ActiveEnterTimestampMonotonic),
		"userspace": $(usec "" UserspaceTimestampMonotonic),
		"generators_start": $(usec "" GeneratorsStartTimestampMonotonic),
		"generators_finish": $(usec "" GeneratorsFinishTimestampMonotonic),
		"units_loaded": $(usec "" UnitsLoadFinishTimestampMonotonic),
		"basic": $(usec basic.target ActiveEnterTimestampMonotonic),
		"luod_start": $(usec luod.service InactiveExitTimestampMonotonic),
		"luod_up": $(usec luod.service ActiveEnterTimestampMonotonic),
		"first_service": $(systemctl show -P InactiveExitTimestampMonotonic 'bench-*.service' | grep . | sort -n | head -n 1),
		"last_service": $(over_services largest ActiveEnterTimestampMonotonic),
		"luod_cpu": $(($(usec luod.service CPUUsageNSec) / 1000)),
		"services_cpu": $(($(over_services sum CPUUsageNSec) / 1000)),
		"pid1_cpu": $(awk '{ print ($14 + $15) * 10000 }' /proc/1/stat),
		"restore_n": $(grep -c . /run/ms || true),
		"restore_median": $(awk '{ a[NR] = $1 } END { print NR ? a[int((NR + 1) / 2)] * 1000 : 0 }' /run/ms),
		"restore_sum": $(awk '{ s += $1 } END { print s * 1000 }' /run/ms)
		}}
	JSON
	tr -d '\n' </run/boot.jsonl >/run/line
	echo >>/run/line
	luo-vm-file /run/line boot$LUOVM_STAGE.jsonl
}

# What one start of a unit takes while nothing else happens: by itself; with one more process, as each
# unit that gets something back has; and with a luo-restore that finds nothing to do.
one_start() {
	rows=/run/one-start.jsonl
	one_unit plain
	one_unit true "ExecStartPre=+/bin/true"
	one_unit nothing "ExecStartPre=-+/usr/libexec/luo/luo-restore -- %n"
	systemctl daemon-reload
	for round in 1 2 3 4 5 6 7 8 9 10; do
		for what in plain true nothing; do
			begin=$(date +%s%N)
			systemctl start one-$what.service
			echo "$what $((($(date +%s%N) - begin) / 1000))" >>/run/one-start
		done
	done
	for what in plain true nothing; do
		echo "{\"bench\": \"systemd-100-start\", \"what\": \"$what\", \"usec\": [$(sed -n "s/^$what //p" /run/one-start | paste -s -d ,)]}"
	done >$rows
	luo-vm-file $rows one-start.jsonl
}

one_unit() {
	printf '[Service]\nType=oneshot\nExecStart=/bin/true\n%s\n' "$2" >/etc/systemd/system/one-$1.service
}
