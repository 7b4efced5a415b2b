/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef MANAGER_MANAGER_H
#define MANAGER_MANAGER_H

/*
 * PID 1, if it is systemd: what it has in the fd stores of its services, and copies of that.
 *
 * It is asked over its private socket, which also answers when the system bus has been stopped, and
 * its descriptor table is read. Root only. Everything that it says is checked: it passes on what
 * services have chosen.
 *
 * Internal: not installed, not exported. $LUO_MANAGER_VERSION, $LUO_MANAGER_ADDRESS and
 * $LUO_MANAGER_PID put something else in the place of PID 1, for tests; not for a program that
 * gained privileges.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-bus.h>

#include <luo/inspect.h>

/* From this version PID 1 hands its fd stores over itself. */
#define LUO_MANAGER_NATIVE 261

/* 0 and 257, 262, ...; -ENOENT if PID 1 is not systemd. */
int luo_manager_version(unsigned *ret_version);

/* Until the connection stands; the timeout is that of each call, too. */
int luo_manager_connect(uint64_t timeout_usec, sd_bus **ret_bus);
/*
 * The manager of a user, for the user and for root. It is as trustworthy as he is: it may say
 * anything, and nothing; only the times are limited.
 */
int luo_manager_connect_user(uid_t uid, uint64_t timeout_usec, sd_bus **ret_bus);

/* One entry of a unit's fd store. */
struct luo_manager_fd {
	char *name;
	dev_t device;
	ino_t inode;
	mode_t mode; /* with its type */
	int flags;   /* F_GETFL */
	char *path;  /* as /proc/1/fd shows it */
};

struct luo_manager_unit {
	char *name;
	bool preserve;       /* its store outlives the shutdown */
	char *preserve_text; /* FileDescriptorStorePreserve= */
	unsigned max;        /* FileDescriptorStoreMax= */
	char *active_state, *result;
	unsigned n_said;            /* NFileDescriptorStore */
	struct luo_manager_fd *fds; /* in the order they were stored */
	size_t n_fds;
	int error; /* negative errno: PID 1 did not tell all of this */
};

/*
 * The services that have something in their store, by name. What PID 1 did not tell before the
 * deadline (of CLOCK_MONOTONIC, UINT64_MAX for none) is missing: the units with ->error, and with
 * *ret_incomplete (may be NULL) set to a negative errno also units that are not listed at all.
 */
int luo_manager_stores(sd_bus *bus, uint64_t deadline, struct luo_manager_unit **ret_units,
		       size_t *ret_n, int *ret_incomplete);
/* What is in one store. -ENOENT if there is no such unit. */
int luo_manager_dump(sd_bus *bus, const char *unit, struct luo_manager_fd **ret_fds, size_t *ret_n);

struct luo_manager_unit *luo_manager_units_free(struct luo_manager_unit *units, size_t n);
struct luo_manager_fd *luo_manager_fds_free(struct luo_manager_fd *fds, size_t n);

/*
 * Keeps the units loaded whose store is to outlive them, until the machine ends. PID 1 forgets a
 * unit that has stopped when no unit refers to it any more that has not, and its store with it,
 * whatever FileDescriptorStorePreserve= says; when a machine goes down its targets, which do refer
 * to it, stop too. So a unit is made that never stops, and refers to them. How many they are.
 */
int luo_manager_pin(sd_bus *bus, uint64_t deadline, size_t *ret_n);

/* "enabled", "disabled", ... -ENOENT if there is no such unit file. */
int luo_manager_unit_file_state(sd_bus *bus, const char *unit, char *buffer, size_t size);

/* Whether the machine is on its way into a kexec: 1, or 0. */
int luo_manager_is_in_kexec(sd_bus *bus);
/* When the shutdown began. -ENODATA if PID 1 does not know. */
int luo_manager_shutdown_start(sd_bus *bus, uint64_t *ret_realtime, uint64_t *ret_monotonic);

/*
 * Stops all that an exit of the manager stops, and keeps the units with a store loaded. For the
 * manager of a user: PID 1 would end the machine. *ret_n: how many of those there are; nothing is
 * done if there is none. -ETIMEDOUT: they are still being stopped.
 */
int luo_manager_stop_services(sd_bus *bus, uint64_t deadline, size_t *ret_n);

/* -ESRCH if there is none. */
int luo_manager_main_pid(sd_bus *bus, const char *unit, pid_t *ret_pid);

/* ---- copies of its fds ----------------------------------------------------------------------- */

/* The descriptor table of PID 1, as it was at luo_manager_table_open(). */
struct luo_manager_table;
int luo_manager_table_open(struct luo_manager_table **ret_table);
/*
 * That of another process. Whoever needs it to be a certain one has to look afterwards whether that
 * still has this pid, and then ask luo_manager_table_is_alive(): a pid may be used again.
 */
int luo_manager_table_open_pid(pid_t pid, struct luo_manager_table **ret_table);
bool luo_manager_table_is_alive(const struct luo_manager_table *table);
struct luo_manager_table *luo_manager_table_free(struct luo_manager_table *table);

/*
 * A copy of an fd of which luo_manager_dump() has told. -ENOENT if PID 1 has none that fits.
 *
 * Of several open file descriptions of one file those with the right flags come first, and each is
 * given out once before one is given out twice: every entry gets one. Which of two that differ in
 * nothing but the position belongs to which name PID 1 does not tell.
 */
int luo_manager_table_fetch(struct luo_manager_table *table, const struct luo_manager_fd *entry,
			    int *ret_fd);

/* What will become of an entry. */
struct luo_manager_verdict {
	bool survives;
	bool expected; /* it would, if it were another kind of fd: that it does not is a loss */
	enum luo_kind kind;
	uint64_t size;
	bool has_size;
	char reason[200]; /* why it does not survive */
	char session[64]; /* LUO_KIND_SESSION: its name, else empty */
};

/*
 * *ret_fd is a copy of it if it survives, and -EBADF else. @table may be NULL: then it is judged by
 * what PID 1 says of it alone, without a copy.
 */
void luo_manager_judge(struct luo_manager_table *table, const struct luo_manager_unit *unit,
		       const struct luo_manager_fd *entry, struct luo_manager_verdict *ret,
		       int *ret_fd);

#endif
