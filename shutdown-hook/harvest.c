/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * luo-harvest: on the way into a kexec, when every service has stopped, systemd still has their fd
 * stores, and will close them. A systemd before 261 knows of nothing better. So they are copied
 * into luod, which stays to the end.
 *
 * It never stands in the way of the shutdown: it gives up in time, keeps what it could have, and
 * says in one line what is lost.
 */

#include "shutdown-hook/harvest.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "common/json.h"
#include "common/log.h"
#include "common/runtime-dir.h"
#include "shutdown-hook/record.h"
#include "shutdown-hook/say.h"
#include "shutdown-hook/sender.h"

/* For what neither answers nor times out: the kernel, a console. */
#define GRACE_USEC (5 * USEC_PER_SEC)

static void warn_config(const char *text, void *userdata)
{
	log_warning("%s", text);
}

static const char *bus_error(int error)
{
	switch (error) {
	case -ETIMEDOUT:
		return "PID 1 did not answer in time";
	case -ECONNREFUSED:
	case -ENOENT:
		return "PID 1 does not listen on its private socket";
	case -EACCES:
	case -EPERM:
		return "not allowed to ask PID 1; this needs root";
	default:
		return strerror(-error);
	}
}

static void refuse(void)
{
	log_error("No kexec is under way; --force does it anyway, --dry-run only looks.");
}

/* ---- once per shutdown ----------------------------------------------------------------------- */

/*
 * The mark is made when everything was done: one that was killed can be run again. It says which
 * shutdown it belongs to, because one can be called off, and /run stays.
 */
static bool was_done(uint64_t shutdown_start)
{
	_cleanup_record_ struct json_object *record = NULL;

	if (record_read(runtime_dir(), RECORD_NAME, &record) < 0)
		return false;
	return json_number(record, "shutdownStart") == shutdown_start;
}

/* For luod, which writes it into the mapping. */
static void write_moment(const char *name, uint64_t realtime, uint64_t monotonic)
{
	_cleanup_close_ int fd = -EBADF;
	_cleanup_free_ char *path = NULL;
	char text[64];
	int n;

	if (asprintf(&path, "%s/%s", runtime_dir(), name) < 0) {
		path = NULL;
		return;
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	n = snprintf(text, sizeof(text), "%" PRIu64 " %" PRIu64 "\n", realtime, monotonic);
	if (fd < 0 || write(fd, text, (size_t)n) != n)
		log_debug("Cannot write %s, ignoring: %s.", path, strerror(errno));
}

static void write_records(struct harvest *h, uint64_t shutdown_start)
{
	const char *var = secure_getenv("LUO_STATE_DIR") ?: RECORD_VAR_DIR;
	int r;

	json_add_number(h->record, "entries", h->n_kept);
	json_add_number(h->record, "units", h->n_kept_units);
	json_add_number(h->record, "lost", h->n_lost);
	json_add_number(h->record, "shutdownStart", shutdown_start);
	r = record_write(h->record, runtime_dir(), RECORD_NAME);
	if (r < 0)
		log_debug("Cannot write %s/" RECORD_NAME ", ignoring: %s.", runtime_dir(),
			  strerror(-r));
	/* /var may have been unmounted. */
	(void)mkdir(var, 0755);
	r = record_write(h->record, var, RECORD_VAR_FILE);
	if (r < 0)
		log_debug("Cannot write %s/" RECORD_VAR_FILE ", ignoring: %s.", var, strerror(-r));
}

/* ---- systemd 261 and later ------------------------------------------------------------------- */

/* PID 1 hands over all stores, and with luod's own the sessions that luod makes now. */
static int commit_for_manager(const struct config *config)
{
	struct json_object *o = json_object_new_object();
	struct sender sender = {
		.deadline = now_usec(CLOCK_MONOTONIC) + config->deadline_usec,
	};
	const char *name = NULL;
	int r;

	json_add_bool(o, "handOver", true);
	r = sender_call(&sender, "Commit", o, NULL, 0);
	luo_client_error(sender.client, &name, NULL);
	if (name && streq(name, "io.luo.NoLiveUpdate"))
		r = 0;
	if (r < 0) {
		log_error("luod could not commit what it holds: %s.", sender_error(&sender, r));
		say(LOG_ERR, "luod could not commit what it holds: %s", sender_error(&sender, r));
	}
	sender_done(&sender);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int hand_over(const struct config *config, const struct harvest_options *o, unsigned version)
{
	_cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
	int r;

	r = luo_manager_connect(config->harvest_timeout_usec, &bus);
	if (r >= 0)
		r = luo_manager_is_in_kexec(bus);
	if (r == 0 && !o->force) {
		refuse();
		return EXIT_FAILURE;
	}
	/* A PID 1 that does not answer cannot say no: this was started by it, or by root. */
	if (r < 0)
		log_warning("Cannot ask PID 1 whether a kexec is under way, going on: %s.",
			    bus_error(r));
	log_info("systemd %u hands its fd stores over itself.", version);
	return commit_for_manager(config);
}

/* ---- systemd before 261 ---------------------------------------------------------------------- */

static int tell_loss(const char *why)
{
	log_error("The fd stores of systemd's services will be lost: %s.", why);
	say(LOG_ERR, "the fd stores of systemd's services will be lost: %s", why);
	return EXIT_FAILURE;
}

static int tell_result(const struct harvest *h)
{
	log_info("%zu fds of %zu units are in luod's hands; %zu will be lost.", h->n_kept,
		 h->n_kept_units, h->n_lost);
	if (!h->why[0])
		return EXIT_SUCCESS;
	say(LOG_ERR, "%zu of the services' fds are kept, %zu will be lost: %s", h->n_kept,
	    h->n_lost, h->why);
	return EXIT_FAILURE;
}

static int do_harvest(const struct config *config, const struct luo_manager_unit *units, size_t n,
		      int incomplete, uint64_t mark, bool in_kexec)
{
	_cleanup_record_ struct json_object *record = record_new();
	struct harvest h = { .config = config, .record = record };

	harvest_units(&h, units, n);
	if (incomplete < 0 && !h.why[0]) {
		snprintf(h.why, sizeof(h.why), "PID 1 did not tell of all services: %s",
			 bus_error(incomplete));
		record_add_problem(record, h.why);
	}
	/* By hand it changes nothing but what luod holds. */
	if (in_kexec)
		write_records(&h, mark);
	return tell_result(&h);
}

static int harvest_stores(const struct config *config, const struct harvest_options *o)
{
	uint64_t deadline = now_usec(CLOCK_MONOTONIC) + config->harvest_timeout_usec;
	uint64_t realtime = 0, monotonic = 0;
	_cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
	struct luo_manager_unit *units;
	bool in_kexec = false;
	int incomplete, r;
	size_t n;

	r = luo_manager_connect(config->harvest_timeout_usec, &bus);
	if (r >= 0 && !o->dry_run) {
		r = luo_manager_is_in_kexec(bus);
		if (r == 0 && !o->force) {
			refuse();
			return EXIT_FAILURE;
		}
		in_kexec = r > 0;
	}
	if (r < 0 && (o->dry_run || r == -EACCES || r == -EPERM)) {
		log_error("Cannot ask PID 1: %s.", bus_error(r));
		return EXIT_FAILURE;
	}
	if (r < 0)
		return tell_loss(bus_error(r));
	if (in_kexec && luo_manager_shutdown_start(bus, &realtime, &monotonic) >= 0) {
		write_moment("shutdown-start", realtime, monotonic);
		/* We come when all units have stopped. */
		write_moment("shutdown-finish", now_usec(CLOCK_REALTIME),
			     now_usec(CLOCK_MONOTONIC));
	}
	/* Without its time no shutdown can be told from another. */
	if (in_kexec && realtime > 0 && !o->force && was_done(realtime)) {
		log_info("It was done already in this shutdown.");
		return EXIT_SUCCESS;
	}
	r = luo_manager_stores(bus, deadline, &units, &n, &incomplete);
	if (r < 0)
		return tell_loss(bus_error(r));
	/* The question is answered; PID 1 need not keep the connection. */
	bus = sd_bus_close_unref(bus);
	r = o->dry_run ? harvest_show(NULL, units, n)
		       : do_harvest(config, units, n, incomplete, realtime, in_kexec);
	luo_manager_units_free(units, n);
	return r;
}

/* ---- before it begins ------------------------------------------------------------------------ */

static int pin_units(const struct config *config, const struct harvest_options *o, unsigned version)
{
	_cleanup_(sd_bus_close_unrefp) sd_bus *bus = NULL;
	size_t n = 0;
	int r;

	if (version >= LUO_MANAGER_NATIVE)
		return EXIT_SUCCESS;
	r = luo_manager_connect(config->harvest_timeout_usec, &bus);
	/* Its service may also be stopped by hand. */
	if (r >= 0 && !o->force && luo_manager_is_in_kexec(bus) == 0)
		return EXIT_SUCCESS;
	if (r >= 0)
		r = luo_manager_pin(bus, now_usec(CLOCK_MONOTONIC) + config->harvest_timeout_usec,
				    &n);
	if (r < 0) {
		log_error("Cannot have PID 1 keep the units whose stores are to be kept: %s.",
			  bus_error(r));
		return EXIT_FAILURE;
	}
	log_info("PID 1 keeps %zu unit%s loaded.", n, n == 1 ? "" : "s");
	return EXIT_SUCCESS;
}

/* ---- main ------------------------------------------------------------------------------------ */

static void on_alarm(int signal)
{
	say_raw("luo: luo-harvest hangs and gives up; what it has not handed over is lost\n");
	_exit(EXIT_FAILURE);
}

static void prepare(const struct config *config)
{
	uint64_t usec = MAX2(config->deadline_usec, 2 * config->harvest_timeout_usec) + GRACE_USEC;
	struct rlimit limit;

	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGALRM, on_alarm);
	(void)alarm((unsigned)(usec / USEC_PER_SEC));
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int run(const struct harvest_options *o)
{
	struct config config;
	unsigned version;
	int r;

	config_load(o->config, warn_config, NULL, &config);
	if (o->user)
		return harvest_user(&config, o);
	prepare(&config);
	r = luo_manager_version(&version);
	if (r == -ENOENT) {
		log_error("PID 1 is not systemd, there is nothing to harvest.");
		return EXIT_FAILURE;
	}
	if (r < 0)
		return tell_loss(bus_error(r));
	if (o->pin)
		return pin_units(&config, o, version);
	if (version >= LUO_MANAGER_NATIVE && !o->dry_run)
		return hand_over(&config, o, version);
	return harvest_stores(&config, o);
}

int main(int argc, char *argv[])
{
	struct harvest_options options;
	int r;

	r = harvest_options_parse(argc, argv, &options);
	if (r <= 0)
		return r < 0 ? 2 : EXIT_SUCCESS;
	log_setup("luo-harvest", options.verbose ? LOG_DEBUG : LOG_INFO);
	say_setup();
	return run(&options);
}
