/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * luo-shutdown, in /usr/lib/systemd/system-shutdown: systemd-shutdown runs it when everything but
 * luod has been killed, with what is about to happen as its argument. For a kexec luod commits now:
 * nobody is left who could race it, or change what it preserves.
 *
 * It must never block or break the shutdown. All that it asks has a deadline, and a timer stands
 * behind that. If there is no luod, it does nothing, as if it were not installed.
 */

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>

#include <luo/client.h>

#include "shutdown-hook/config.h"
#include "common/help.h"
#include "common/json.h"
#include "common/runtime-dir.h"
#include "shutdown-hook/cold-reboot.h"
#include "shutdown-hook/record.h"
#include "shutdown-hook/say.h"
#include "shutdown-hook/shutdown-index.h"
#include "shutdown-hook/shutdown-report.h"

/* How long a luod that was killed may take to be gone: it may be in the middle of a large file. */
#define KILL_USEC (3 * USEC_PER_SEC)
/* The timer, after everything that has a deadline of its own. */
#define GRACE_USEC (6 * USEC_PER_SEC)

struct hook {
	struct config config;
	char *argv0;
	uint64_t begin, deadline;
	int luod; /* a pidfd, or -EBADF */
	struct json_object *record, *status;
};

/* For the signal handler. */
static volatile int alarm_luod = -EBADF;
static volatile bool alarm_reboots;

static uint64_t time_left(const struct hook *h)
{
	uint64_t now = now_usec(CLOCK_MONOTONIC);

	return h->deadline > now ? h->deadline - now : 1;
}

/* ---- when it goes wrong ---------------------------------------------------------------------- */

static void kill_luod(int pidfd)
{
	if (pidfd >= 0)
		(void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

/*
 * A commit that is late is undone: with luod go the fds of its sessions, and the kernel forgets
 * them. Left alone it might be half done when the kexec comes, with files and no mapping: the next
 * kernel would keep their memory for ever, for nobody. One that hangs inside of an ioctl dies at
 * its end; the kexec waits for that too, it needs the same lock.
 */
static void stop_luod(struct hook *h)
{
	struct pollfd p = { .fd = h->luod, .events = POLLIN };

	kill_luod(h->luod);
	if (h->luod >= 0)
		(void)poll(&p, 1, (int)(KILL_USEC / USEC_PER_MSEC));
}

static void on_alarm(int signal)
{
	kill_luod(alarm_luod);
	say_raw("luo: the commit hangs; nothing is preserved\n");
	if (alarm_reboots)
		cold_reboot_now();
	_exit(EXIT_FAILURE);
}

/* What there was to be preserved, as far as anyone knows. */
static uint64_t entries_known(const struct hook *h)
{
	if (h->status)
		return (uint64_t)json_int(h->status, "stored") +
		       (uint64_t)json_int(h->status, "held");
	return h->record ? json_number(h->record, "entries") : 0;
}

static int fail(struct hook *h, const char *problem)
{
	struct index_report report = {
		.entries = entries_known(h),
		.usec = now_usec(CLOCK_MONOTONIC) - h->begin,
		.problem = problem,
	};
	int r;

	if (report.entries > 0)
		say(LOG_ERR, "%s; %llu fds are lost", problem, (unsigned long long)report.entries);
	else
		say(LOG_ERR, "%s; nothing is preserved", problem);
	if (h->config.on_failure == ON_FAILURE_REBOOT) {
		say(LOG_ERR, "rebooting cold, as luo.conf says (OnFailure=reboot)");
		cold_reboot();
	}
	/* luod's own is better than ours. */
	r = index_leave_report(&report, h->argv0);
	if (r < 0 && r != -EEXIST && r != -ENODEV && r != -EOPNOTSUPP)
		say(LOG_WARNING, "the next boot will not know of it: %s", strerror(-r));
	return EXIT_FAILURE;
}

/* ---- luod ------------------------------------------------------------------------------------ */

/* The client has one timeout for all its calls, so there is one for each. */
static int call(struct hook *h, const char *method, struct json_object **ret_reply, char *ret_error,
		size_t size)
{
	struct luo_client *client = NULL;
	_cleanup_free_ char *text = NULL;
	const char *name = NULL, *said = NULL;
	int r;

	ret_error[0] = 0;
	r = luo_client_connect(NULL, time_left(h), &client);
	if (r < 0)
		return r;
	r = luo_client_call(client, method, NULL, NULL, 0, &text, NULL, NULL);
	luo_client_error(client, &name, &said);
	if (name && streq(name, "io.luo.NoLiveUpdate"))
		r = -EOPNOTSUPP;
	else if (name) {
		snprintf(ret_error, size, "%s", said ?: name);
		r = -EREMOTEIO;
	}
	luo_client_free(client);
	if (r < 0)
		return r;
	*ret_reply = json_parse(text);
	return *ret_reply ? 0 : -EBADMSG;
}

static const char *describe(int error, const char *said)
{
	if (said[0])
		return said;
	switch (error) {
	case -ENOENT:
	case -ECONNREFUSED:
		return "luod has died";
	case -ECONNRESET:
	case -EPIPE:
		return "luod died during the commit";
	case -ETIMEDOUT:
		return "luod did not commit in time, and was stopped";
	case -EBADMSG:
		return "luod's answer cannot be understood";
	default:
		return strerror(-error);
	}
}

static int failed(struct hook *h, int error, const char *said)
{
	if (error == -ETIMEDOUT)
		stop_luod(h);
	return fail(h, describe(error, said));
}

static void report(struct hook *h, bool worth_it, const char *line)
{
	if (worth_it)
		say(LOG_NOTICE, "%s", line);
}

static int commit(struct hook *h)
{
	_cleanup_json_ struct json_object *reply = NULL;
	char said[400], line[600];
	int r;

	r = call(h, "Commit", &reply, said, sizeof(said));
	if (r == -EOPNOTSUPP)
		return EXIT_SUCCESS;
	if (r < 0)
		return failed(h, r, said);
	report(h,
	       report_commit(reply, h->record, now_usec(CLOCK_MONOTONIC) - h->begin, line,
			     sizeof(line)),
	       line);
	return EXIT_SUCCESS;
}

static bool stands(struct json_object *status)
{
	const char *state = json_string(status, "commit");

	return state && streq(state, "committed") && !json_true(status, "stale");
}

static int commit_or_report(struct hook *h)
{
	const char *live_update;
	char said[400], line[600];
	int r;

	r = call(h, "Status", &h->status, said, sizeof(said));
	/* There was never one, or it was stopped in good order. */
	if (r == -ENOENT && !h->record)
		return EXIT_SUCCESS;
	if (r < 0)
		return failed(h, r, said);
	h->luod = (int)syscall(SYS_pidfd_open, (pid_t)json_int(h->status, "pid"), 0);
	alarm_luod = h->luod;
	live_update = json_string(h->status, "liveUpdate");
	if (live_update && !streq(live_update, "on"))
		return EXIT_SUCCESS;
	if (!stands(h->status))
		return commit(h);
	report(h, report_standing(h->status, h->record, line, sizeof(line)), line);
	return EXIT_SUCCESS;
}

/* ---- main ------------------------------------------------------------------------------------ */

static void warn_config(const char *text, void *userdata)
{
	say(LOG_WARNING, "%s", text);
}

static void set_timer(const struct config *config)
{
	alarm_reboots = config->on_failure == ON_FAILURE_REBOOT;
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGALRM, on_alarm);
	(void)alarm((unsigned)((config->deadline_usec + GRACE_USEC) / USEC_PER_SEC));
}

static const char help[] =
	"Usage: luo-shutdown VERB\n"
	"\n"
	"Has luod commit, as the last step before a kexec. systemd-shutdown runs this program with a\n"
	"verb; for every verb but \"kexec\" it does nothing.\n"
	"\n"
	"  -h, --help     print this\n"
	"  -V, --version  print the version\n"
	"\n"
	"See luo-harvest(8).\n";

int main(int argc, char *argv[])
{
	struct hook h = { .luod = -EBADF, .begin = now_usec(CLOCK_MONOTONIC) };
	int r;

	if (help_or_version(argc, argv, "luo-shutdown", help))
		return EXIT_SUCCESS;
	if (argc < 2 || !streq(argv[1], "kexec"))
		return EXIT_SUCCESS;
	if (access(runtime_dir(), F_OK) < 0)
		return EXIT_SUCCESS;
	h.argv0 = argv[0];
	say_setup();
	config_load(secure_getenv("LUO_CONFIG") ?: LUO_CONFIG_PATH, warn_config, NULL, &h.config);
	h.deadline = h.begin + h.config.deadline_usec;
	set_timer(&h.config);
	(void)record_read(runtime_dir(), RECORD_NAME, &h.record);
	r = commit_or_report(&h);
	json_object_put(h.status);
	json_object_put(h.record);
	safe_close(h.luod);
	return r;
}
