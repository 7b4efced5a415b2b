/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tools/luod/retrieve-in.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/sched.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <luo/handover.h>
#include <luo/inspect.h>
#include <luo/store.h>

#include "common/log.h"
#include "common/util.h"
#include "libluo/handover/incoming.h"
#include "tools/luod/identity.h"

/* The headers of Debian 12 have it, those of RHEL 8 do not. */
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

#define CGROUP_ROOT "/sys/fs/cgroup"

/*
 * luod serves no client while the child works, so it does not wait for a child that makes no
 * progress.
 */
#define LOOK_MSEC     100
#define PATIENCE_USEC (30 * USEC_PER_SEC)
#define PATIENCE_RATE (UINT64_C(256) << 20) /* bytes per second */

/* The result of the child, in memory that both share. */
struct outcome {
	bool done; /* written last: the members below are valid */
	int r;
	int failed;    /* entry->failed */
	int fd;        /* in the table of fds that both share */
	int shared_fd; /* the file for its aliases; -EBADF */
};

struct shared {
	struct luo_memory_room room;
	struct outcome outcomes[];
};

static pid_t clone_into(int cgroup_fd)
{
	/* The struct of Linux 5.7; that of older headers ends before the cgroup. */
	uint64_t args[11] = { 0 };

	args[0] = CLONE_FILES | CLONE_INTO_CGROUP;
	args[4] = SIGCHLD;
	args[10] = (uint64_t)cgroup_fd;
	return (pid_t)syscall(SYS_clone3, args, sizeof(args));
}

static void restore_one(struct luo_incoming *incoming, struct luo_entry *entry,
			struct outcome *outcome)
{
	struct luo_shared_file *file = luo_incoming_shared_of(incoming, entry);
	bool had = file && file->fd >= 0;

	outcome->r = luo_incoming_restore(incoming, entry);
	outcome->failed = entry->failed;
	outcome->fd = entry->fd;
	outcome->shared_fd = file && !had ? file->fd : -EBADF;
	__atomic_store_n(&outcome->done, true, __ATOMIC_RELEASE);
}

static _Noreturn void run_child(struct luo_incoming *incoming, struct luo_entry **entries, size_t n,
				struct shared *shared)
{
	/* What is known of memory limits is about another cgroup. */
	incoming->room = incoming->room_at = 0;
	for (size_t i = 0; i < n; i++) {
		restore_one(incoming, entries[i], &shared->outcomes[i]);
		if (shared->outcomes[i].r == -EDQUOT) {
			shared->room.struct_size = sizeof(shared->room);
			(void)luo_memory_room(&shared->room);
			break;
		}
	}
	_exit(EXIT_SUCCESS);
}

static int take_outcome(struct luo_incoming *incoming, struct luo_entry *entry,
			const struct outcome *outcome)
{
	struct luo_shared_file *file = luo_incoming_shared_of(incoming, entry);

	if (outcome->shared_fd >= 0 && file && file->fd < 0)
		file->fd = outcome->shared_fd;
	entry->failed = outcome->failed;
	if (outcome->fd >= 0) {
		int r = luo_entry_set_fd(entry, outcome->fd);

		if (r < 0)
			safe_close(outcome->fd);
		return r;
	}
	return outcome->failed < 0 ? 0 : outcome->r;
}

/*
 * A user may freeze a cgroup of its own, and the child would stop before its first instruction. The
 * cgroups above count too. cgroup.events would report all of them at once, but only when every
 * process below has stopped.
 */
static bool is_frozen(const char *cgroup)
{
	char path[PATH_MAX];
	size_t n;

	if (snprintf(path, sizeof(path), CGROUP_ROOT "%s", cgroup) >= (int)sizeof(path))
		return false;
	for (n = strlen(path); n > strlen(CGROUP_ROOT); n = (size_t)(strrchr(path, '/') - path)) {
		_cleanup_close_ int fd = -EBADF;
		char state = '0';

		if (snprintf(path + n, sizeof(path) - n, "/cgroup.freeze") <
		    (int)(sizeof(path) - n))
			fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && read(fd, &state, 1) == 1 && state == '1')
			return true;
		path[n] = '\0';
	}
	return false;
}

static size_t count_done(const struct shared *shared, size_t n)
{
	size_t done = 0;

	while (done < n && __atomic_load_n(&shared->outcomes[done].done, __ATOMIC_ACQUIRE))
		done++;
	return done;
}

static uint64_t time_limit_usec(struct luo_entry **entries, size_t n)
{
	uint64_t largest = 0;

	for (size_t i = 0; i < n; i++)
		largest = MAX2(largest, entries[i]->meta.size);
	return PATIENCE_USEC + largest / PATIENCE_RATE * USEC_PER_SEC;
}

static bool has_ended(pid_t pid)
{
	siginfo_t info = { 0 };

	return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
	       info.si_pid == pid;
}

/* What the child had restored is not lost, and the rest is still in the kernel. */
static void wait_for_child(pid_t pid, const char *cgroup, const struct shared *shared,
			   struct luo_entry **entries, size_t n)
{
	_cleanup_close_ int pidfd = pidfd_open_process(pid);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };
	uint64_t since = now_usec(CLOCK_MONOTONIC);
	size_t done = 0;

	while (!has_ended(pid)) {
		const char *why = NULL;

		if (poll(&p, pidfd >= 0, LOOK_MSEC) > 0)
			continue;
		if (count_done(shared, n) > done) {
			done = count_done(shared, n);
			since = now_usec(CLOCK_MONOTONIC);
		}
		if (is_frozen(cgroup))
			why = "is frozen";
		else if (now_usec(CLOCK_MONOTONIC) - since > time_limit_usec(entries, n))
			why = "makes no progress";
		if (!why)
			continue;
		log_warning("Cgroup %s %s: stopping the process that restores fds there.", cgroup,
			    why);
		(void)kill(pid, SIGKILL);
		return;
	}
}

static void reap_child(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return;
	if (WIFSIGNALED(status))
		log_error("The process that restores fds was killed by signal %d%s.",
			  WTERMSIG(status),
			  WTERMSIG(status) == SIGKILL ? " (is there a memory limit?)" : "");
}

static int take_outcomes(struct luo_incoming *incoming, struct luo_entry **entries, size_t n,
			 const struct shared *shared, struct luo_memory_room *ret_room)
{
	int result = 0;

	for (size_t i = 0; i < n; i++) {
		const struct outcome *outcome = &shared->outcomes[i];
		int r = -EAGAIN; /* the child did not reach it */

		if (__atomic_load_n(&outcome->done, __ATOMIC_ACQUIRE))
			r = take_outcome(incoming, entries[i], outcome);
		if (r == -EDQUOT)
			*ret_room = shared->room;
		if (r < 0 && result == 0)
			result = r;
	}
	return result;
}

static int open_cgroup(const char *cgroup)
{
	char path[PATH_MAX];

	/* "/.." is outside of the cgroup namespace of luod. */
	if (cgroup[0] != '/' || startswith(cgroup, "/..") ||
	    snprintf(path, sizeof(path), CGROUP_ROOT "%s", cgroup) >= (int)sizeof(path))
		return -EINVAL;
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int retrieve_in(const char *cgroup, struct luo_incoming *incoming, struct luo_entry **entries,
		size_t n, struct luo_memory_room *ret_room)
{
	_cleanup_close_ int fd = open_cgroup(cgroup);
	size_t size = sizeof(struct shared) + n * sizeof(struct outcome);
	struct shared *shared;
	pid_t pid;
	int r;

	if (fd < 0)
		return -EOPNOTSUPP;
	if (is_frozen(cgroup))
		return -EAGAIN;
	shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return -EOPNOTSUPP;
	for (size_t i = 0; i < n; i++)
		shared->outcomes[i].fd = shared->outcomes[i].shared_fd = -EBADF;
	pid = clone_into(fd);
	if (pid == 0)
		run_child(incoming, entries, n, shared);
	if (pid < 0) {
		log_debug("Cannot make a process in cgroup %s: %s.", cgroup, strerror(errno));
		r = -EOPNOTSUPP;
	} else {
		wait_for_child(pid, cgroup, shared, entries, n);
		reap_child(pid);
		r = take_outcomes(incoming, entries, n, shared, ret_room);
	}
	(void)munmap(shared, size);
	return r;
}
