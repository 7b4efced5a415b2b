#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# SPDX-FileCopyrightText: the libluo authors
#
# A service of systemd in shell that keeps its memory. It needs systemd-notify of systemd 254 or
# later, and in its [Service]:
#
#	FileDescriptorStoreMax=1
#	FileDescriptorStorePreserve=yes
#	NotifyAccess=all
#
# With an argument it counts so many times and ends; otherwise once a second for ever.

# The first time there is nothing yet: a file in memory that has no name any more.
if [ "${LISTEN_FDS:-0}" -eq 0 ]; then
	file=$(mktemp /dev/shm/count.XXXXXX) || exit 1
	exec 3<>"$file"
	rm "$file"
	printf '%020d\n' 0 >&3
	systemd-notify --fd=3 --fdname=count || exit 1
fi

# Now it is fd 3 in any case. It is opened anew through /proc, so that reading begins at its start,
# and written without being cut short.
memory=/proc/$$/fd/3

left=${1:--1}
while [ "$left" -ne 0 ]; do
	read -r count <"$memory"
	count=$(expr "$count" + 1)
	printf '%020d\n' "$count" 1<>"$memory"
	echo "$count"
	if [ "$left" -gt 0 ]; then left=$((left - 1)); else sleep 1; fi
done
