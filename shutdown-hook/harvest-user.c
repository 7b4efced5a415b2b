/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * luo-harvest --user=UID: the services of a user's manager. user@UID.service runs it as ExecStop=,
 * as root, so the manager is still there and knows nothing yet of a shutdown.
 *
 * Some services store their state only when they are stopped. So the manager is made to stop them
 * now, as it would do anyway next, and then still has their stores: with an exit of the manager
 * they would be gone before anybody could ask.
 *
 * Root, because luod takes fds for user@UID.service from what is in its cgroup or from root, and
 * because a process of the user need not have the right to copy fds out of another (yama). The user
 * may do with his manager what he likes. So
 *  - fds are only taken out of the process that PID 1 started as his manager, so he cannot pass off
 *    that of another
 *  - all this is done by a child that is killed when its time is over: what the manager has open
 * may lie on a file system of the user's own, which answers when he likes
 *  - luod counts all of it as one unit, his
 */

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <luo/client.h>

#include "shutdown-hook/harvest.h"
#include "common/runtime-dir.h"
#include "common/log.h"
#include "shutdown-hook/record.h"

/* For the services to stop; what has not stopped then is harvested as it is. */
#define STOP_USEC (60 * USEC_PER_SEC)
/* Less than TimeoutStopSec= of user@.service. */
#define LONGEST_USEC (110 * USEC_PER_SEC)
/* For what does not answer, and takes no notice of a deadline. */
#define GRACE_USEC (5 * USEC_PER_SEC)

struct user {
	const struct config *config;
	uid_t uid;
	char unit[64]; /* user@UID.service */
	bool stop;     /* its services are to be stopped */
	bool dry_run;
	sd_bus *system, *bus;
	struct luo_manager_table *table;
};

static void user_done(struct user *u)
{
	luo_manager_table_free(u->table);
	sd_bus_close_unref(u->bus);
	sd_bus_close_unref(u->system);
}

static int parse_uid(const char *text, uid_t *ret)
{
	unsigned long n;
	char *end;

	errno = 0;
	n = strtoul(text, &end, 10);
	if (*text < '0' || *text > '9' || *end || errno || n >= UINT32_MAX)
		return -EINVAL;
	*ret = (uid_t)n;
	return 0;
}

static const char *meaning(int error)
{
	switch (error) {
	case -ETIMEDOUT:
		return "it did not answer in time";
	case -ECONNREFUSED:
	case -ENOENT:
		return "it does not listen on its private socket";
	case -EPERM:
		return "it is not the user's, or not ours to look at";
	default:
		return strerror(-error);
	}
}

static int fail(const struct user *u, const char *what, int error)
{
	log_error("%s: %s: %s. What its services have in their fd stores will be lost.", u->unit,
		  what, meaning(error));
	return EXIT_FAILURE;
}

/* 1: there may be something to harvest. */
static int stop_services(struct user *u)
{
	size_t n;
	int r;

	r = luo_manager_stop_services(u->bus, now_usec(CLOCK_MONOTONIC) + STOP_USEC, &n);
	if (r < 0)
		log_warning(
			"%s: its services have not all been stopped: %s. What they have stored until now is kept.",
			u->unit, r == -ETIMEDOUT ? "this takes too long" : meaning(r));
	return r < 0 || n > 0;
}

/* The table of what is the manager before and after it was opened. */
static int open_table(struct user *u)
{
	pid_t pid, again;
	int r;

	r = luo_manager_main_pid(u->system, u->unit, &pid);
	if (r >= 0)
		r = luo_manager_table_open_pid(pid, &u->table);
	if (r >= 0)
		r = luo_manager_main_pid(u->system, u->unit, &again);
	if (r >= 0 && (pid != again || !luo_manager_table_is_alive(u->table)))
		r = -ESRCH;
	return r;
}

static int hand_over(struct user *u, const struct luo_manager_unit *units, size_t n, int incomplete)
{
	_cleanup_record_ struct json_object *record = record_new();
	struct harvest h = {
		.config = u->config,
		.record = record,
		.owner = u->unit,
		.table = u->table,
	};

	harvest_units(&h, units, n);
	log_info("%s: %zu fds of %zu services are in luod's hands; %zu will be lost.", u->unit,
		 h.n_kept, h.n_kept_units, h.n_lost);
	if (incomplete < 0)
		log_warning("%s: it did not tell of all services: %s.", u->unit,
			    meaning(incomplete));
	return incomplete < 0 || h.why[0] ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int harvest(struct user *u)
{
	struct luo_manager_unit *units;
	int incomplete, r;
	size_t n;

	r = luo_manager_connect(u->config->harvest_timeout_usec, &u->system);
	if (r >= 0)
		r = luo_manager_connect_user(u->uid, u->config->harvest_timeout_usec, &u->bus);
	if (r < 0)
		return fail(u, "cannot ask it", r);
	if (u->stop && stop_services(u) == 0)
		return EXIT_SUCCESS;
	r = luo_manager_stores(u->bus, now_usec(CLOCK_MONOTONIC) + u->config->harvest_timeout_usec,
			       &units, &n, &incomplete);
	if (r < 0)
		return fail(u, "cannot ask it", r);
	r = open_table(u);
	if (r < 0)
		r = fail(u, "cannot read its descriptor table", r);
	else if (u->dry_run)
		r = harvest_show(u->table, units, n);
	else
		r = hand_over(u, units, n, incomplete);
	luo_manager_units_free(units, n);
	return r;
}

/* ---- in time --------------------------------------------------------------------------------- */

static void __attribute__((noreturn)) run_child(struct user *u, pid_t parent, const sigset_t *mask)
{
	struct rlimit limit;
	int r;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
	(void)sigprocmask(SIG_SETMASK, mask, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	r = harvest(u);
	user_done(u);
	(void)fflush(stdout);
	_exit(r);
}

static int run_in_time(struct user *u)
{
	uint64_t usec = STOP_USEC + 3 * u->config->harvest_timeout_usec + GRACE_USEC;
	pid_t child, self = getpid();
	struct timespec wait;
	sigset_t set, old;
	int status;

	usec = MIN2(usec, (uint64_t)LONGEST_USEC);
	wait = (struct timespec){ .tv_sec = (time_t)(usec / USEC_PER_SEC) };
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	(void)sigprocmask(SIG_BLOCK, &set, &old);
	child = fork();
	if (child == 0)
		run_child(u, self, &old);
	if (child < 0)
		return fail(u, "cannot fork", -errno);
	if (sigtimedwait(&set, NULL, &wait) < 0 && errno == EAGAIN) {
		log_error(
			"%s: this takes too long. What has not been copied from its fd stores is lost.",
			u->unit);
		(void)kill(child, SIGKILL);
	}
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return EXIT_FAILURE;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

/* ---- whether there is anything to do --------------------------------------------------------- */

static bool luod_is_there(void)
{
	_cleanup_free_ char *path = NULL;

	return runtime_path(LUO_SOCKET_NAME, &path) >= 0 && access(path, F_OK) == 0;
}

/* A PID 1 that does not answer: this is not its end, so there is no kexec. */
static bool is_in_kexec(const struct config *config)
{
	_cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;

	return luo_manager_connect(config->harvest_timeout_usec, &bus) >= 0 &&
	       luo_manager_is_in_kexec(bus) > 0;
}

int harvest_user(const struct config *config, const struct harvest_options *o)
{
	struct user u = { .config = config, .dry_run = o->dry_run };
	unsigned version;

	if (parse_uid(o->user, &u.uid) < 0) {
		log_error("--user takes the number of a user.");
		return 2;
	}
	snprintf(u.unit, sizeof(u.unit), "user@%u.service", (unsigned)u.uid);
	if (!o->dry_run && !luod_is_there())
		return EXIT_SUCCESS;
	/* Later ones have their stores kept by the manager above them. */
	if (luo_manager_version(&version) < 0 || (version >= LUO_MANAGER_NATIVE && !o->dry_run))
		return EXIT_SUCCESS;
	/* By hand it stops nothing. */
	u.stop = !o->dry_run && !o->force;
	if (u.stop && !is_in_kexec(config))
		return EXIT_SUCCESS;
	return run_in_time(&u);
}
