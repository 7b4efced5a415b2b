/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * One owner at a time. The lock belongs to an open file description. A service shares the
 * description of an fd from its manager with the manager, so a lock on it would outlive the
 * service. So the file is reopened through /proc, and the lock is on that description. The kernel
 * drops it with the process.
 *
 * The lock does not tell which process has it; the owner record in the heap does, for messages.
 */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#include "libluo/heap/internal.h"
#include "common/util.h"

static int lock_command(int fd, int command, short *ret_type)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1 };

	if (fcntl(fd, command, &lock) < 0)
		return -errno;
	*ret_type = lock.l_type;
	return 0;
}

bool heap_owner_is_alive(const struct luo_heap *h)
{
	short type = F_UNLCK;

	return lock_command(h->lock_fd, F_OFD_GETLK, &type) == 0 && type != F_UNLCK;
}

static void read_boot_id(uint8_t id[static 16])
{
	_cleanup_close_ int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char text[37] = "";
	unsigned n = 0;

	memset(id, 0, 16);
	if (fd < 0 || read(fd, text, 36) != 36)
		return;
	for (const char *p = text; *p && n < 32; p++) {
		unsigned digit;

		if (*p >= '0' && *p <= '9')
			digit = (unsigned)(*p - '0');
		else if (*p >= 'a' && *p <= 'f')
			digit = (unsigned)(*p - 'a') + 10;
		else
			continue;
		id[n / 2] = (uint8_t)(id[n / 2] << 4 | digit);
		n++;
	}
}

bool heap_same_boot(const struct heap_owner *owner)
{
	uint8_t id[16];

	read_boot_id(id);
	return memcmp(id, owner->boot_id, 16) == 0;
}

/* The record is in memory that other processes write: print it only if it is printable. */
static void name_of(const struct heap_owner *owner, char name[static 17])
{
	memcpy(name, owner->name, 16);
	name[16] = '\0';
	for (char *p = name; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
}

/* Kernels without CONFIG_FILE_LOCKING have only the record. */
static bool record_is_alive(const struct heap_owner *owner)
{
	return owner->pid > 0 && owner->pid <= INT32_MAX && heap_same_boot(owner) &&
	       (kill((pid_t)owner->pid, 0) == 0 || errno == EPERM);
}

int heap_owner_lock(struct luo_heap *h, const struct heap_owner *owner)
{
	char name[17];
	short type = F_UNLCK;
	int r;

	r = lock_command(h->lock_fd, F_OFD_SETLK, &type);
	if (r == -EINVAL || r == -ENOSYS || r == -ENOLCK)
		r = record_is_alive(owner) ? -EAGAIN : 0;
	if (r != -EAGAIN && r != -EACCES)
		return r;
	name_of(owner, name);
	if (owner->pid == (uint64_t)getpid())
		return heap_problem(-EBUSY, "this process has it open for writing already");
	return heap_problem(
		-EBUSY,
		"process %lu (%s) has it open for writing; stop that one, or open it read-only",
		(unsigned long)owner->pid, name[0] ? name : "unknown");
}

void heap_owner_record(struct luo_heap *h)
{
	struct heap_owner *owner = heap_owner(h);
	char name[16] = "";
	uint8_t boot_id[16];

	(void)prctl(PR_GET_NAME, name);
	read_boot_id(boot_id);
	if (memcmp(owner->boot_id, boot_id, sizeof(boot_id)) != 0 || owner->kernels == 0)
		heap_store(&owner->kernels, heap_load(&owner->kernels) + 1);
	heap_store(&owner->pid, (uint64_t)getpid());
	memcpy(owner->name, name, sizeof(owner->name));
	memcpy(owner->boot_id, boot_id, sizeof(owner->boot_id));
	heap_store(&owner->openings, heap_load(&owner->openings) + 1);
}
