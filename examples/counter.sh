#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
#
# A service in shell that keeps its memory. An entry of an init script could be
#
#	luo-run --unit counter.sh -- /usr/libexec/counter.sh
#
# With an argument it counts so many times and ends; otherwise once a second for ever.

unit=counter.sh

# The first time there is nothing yet: make it, and start again to be given it.
if [ "${LISTEN_FDS:-0}" -eq 0 ]; then
	printf '%020d\n' 0 | luoctl store "$unit" count - || exit 1
	exec luo-run --unit "$unit" --required -- "$0" "$@"
fi

# The only one is fd 3. It is opened anew through /proc, so that reading begins at its start, and
# written without being cut short: a file that is preserved must not change its size.
memory=/proc/$$/fd/3

left=${1:--1}
while [ "$left" -ne 0 ]; do
	read -r count <"$memory"
	count=$(expr "$count" + 1)
	printf '%020d\n' "$count" 1<>"$memory"
	echo "$count"
	if [ "$left" -gt 0 ]; then left=$((left - 1)); else sleep 1; fi
done
