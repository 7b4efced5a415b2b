/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef FAKE_LUO_H
#define FAKE_LUO_H

/*
 * /dev/liveupdate inside the test process.
 *
 * The device fd and each session fd is one end of a socket pair whose other end the fake keeps. At
 * the start of every call the fake looks which ends have hung up, that is, of which sessions the
 * last copy is gone, and undoes or finishes those as the kernel does. So dup, fork and SCM_RIGHTS
 * keep a session alive, as they do in the kernel. The files are real memfds.
 *
 * What it cannot do: freeze the size of a preserved file, charge memory to a cgroup, take time,
 * and give back owner 0 where the test does not run as root.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <luo/session.h>

enum fake_luo_op {
	FAKE_LUO_OPEN,
	FAKE_LUO_CREATE,
	FAKE_LUO_RETRIEVE_SESSION,
	FAKE_LUO_PRESERVE_FD,
	FAKE_LUO_RETRIEVE_FD,
	FAKE_LUO_FINISH,
	FAKE_LUO_GET_NAME,
	_FAKE_LUO_OP_MAX,
};

/* Puts the fake in the kernel's place, switched on and empty; or back. Both reset. */
void fake_luo_install(void);
void fake_luo_uninstall(void);

/* Everything gone and every switch as at first: a cold boot. */
void fake_luo_reset(void);

void fake_luo_set_support(enum luo_support support);
/* Opening the device gives EIO: the predecessor's state cannot be read. */
void fake_luo_set_unreadable(bool unreadable);
/* ENOSPC beyond that many files in a session, like 128 before kernel 7.2; 0: no limit. */
void fake_luo_set_file_limit(size_t limit);
/* GET_NAME gives this error, like EINVAL before kernel 7.2; 0: it works. */
void fake_luo_set_get_name_error(int error);

/*
 * The @nth call of @op from now (1: the next one) fails with -@error, once; 0: every call does. A
 * failed RETRIEVE_FD is final for its token and frees its memory, except with EMFILE.
 */
void fake_luo_fail(enum fake_luo_op op, unsigned nth, int error);

/*
 * The kexec. Outgoing sessions that are still open come in, with the damage that the kernel does
 * to their files; incoming ones are gone; the settings stay. Fds that the test has open stay with
 * the test, but the fake does not know them any more: closing them does nothing.
 */
void fake_luo_kexec(void);

struct fake_luo_stats {
	bool device_open;
	size_t outgoing;  /* sessions open in this kernel */
	size_t incoming;  /* sessions from the previous one, not yet finished by close */
	size_t retrieved; /* those of them that have been retrieved */
	size_t files;     /* files in all sessions */
	uint64_t bytes;   /* memory that only the kernel holds or keeps from being freed: preserved,
			   * or come in and neither retrieved nor freed */
	size_t fds;       /* fds of this process that belong to the fake */
	uint64_t calls[_FAKE_LUO_OP_MAX];
};

/* After everything that has been closed has taken effect. */
void fake_luo_stats(struct fake_luo_stats *ret);

/* Whether there is such a session; @ret_files may be NULL. */
bool fake_luo_has_session(const char *name, bool incoming, size_t *ret_files);

#endif
