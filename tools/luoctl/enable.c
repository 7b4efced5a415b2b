/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The parts that plug into systemd, all on or all off, in one step. */

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include <luo/session.h>

#include "common/format.h"
#include "common/json.h"
#include "manager/manager.h"
#include "tools/luoctl/luoctl.h"
#include "tools/luoctl/machine.h"
#include "tools/luoctl/systemd.h"
#include "common/util.h"

/* From this version a store can outlive its service. */
#define PRESERVE_SINCE 254

#define LUOD    "luod.service"
#define HARVEST "luo-harvest.service"
#define PIN     "luo-pin.service" /* enabled and disabled with the one above: Also= */
/* What that has made, see luo-harvest(8). */
#define PINS "luopin*.slice"

static const char *const parts[] = {
	SYSTEMD_UNIT_DIR "/" LUOD,
	SYSTEMD_UNIT_DIR "/" HARVEST,
	SYSTEMD_UNIT_DIR "/" PIN,
	SYSTEMD_GENERATOR_DIR "/luo-generator",
	SYSTEMD_SHUTDOWN_DIR "/luo-shutdown",
	LUO_LIBEXECDIR "/luo-harvest",
	LUO_LIBEXECDIR "/luo-restore",
};

/* What luod and the generator leave; of the second only a record of the last shutdown. */
static const char *const leftovers[] = { LUO_RUNTIME_DIR, "/var/lib/luo" };

/* ---- saying what was done -------------------------------------------------------------------- */

struct report {
	struct context *context;
	struct json_object *done; /* of strings */
};

static void did(struct report *report, const char *format, ...)
	__attribute__((__format__(__printf__, 2, 3)));

static void did(struct report *report, const char *format, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (report->context->json)
		json_append_string(report->done, text);
	else
		puts(text);
	fflush(stdout); /* before what systemctl says of the next step */
}

static int finish(struct report *report, int r)
{
	_cleanup_json_ struct json_object *o = json_object_new_object();

	json_add(o, "done", report->done);
	if (report->context->json)
		json_print(o);
	return r;
}

static int failed(const char *what, int r)
{
	if (r < 0)
		complain("cannot run systemctl: %s", strerror(-r));
	else
		complain("cannot %s: systemctl has failed", what);
	return LUOCTL_FAILED;
}

/* ---- what has to be so ----------------------------------------------------------------------- */

static int check_systemd_is_there(unsigned *ret_version)
{
	if (luo_manager_version(ret_version) < 0) {
		complain("PID 1 is not systemd");
		fputs("Without systemd the init script of each service uses luo-run, see luo(7).\n",
		      stderr);
		return LUOCTL_FAILED;
	}
	if (!machine_is_root()) {
		complain("only root can switch services on and off");
		fputs("Try it as root.\n", stderr);
		return LUOCTL_NOT_PERMITTED;
	}
	return LUOCTL_OK;
}

static int check_parts(void)
{
	int r = LUOCTL_OK;

	for (size_t i = 0; i < ELEMENTSOF(parts); i++)
		if (!machine_is_there(parts[i])) {
			complain("%s is not installed", parts[i]);
			r = LUOCTL_FAILED;
		}
	return r;
}

static void warn_of_kernel(void)
{
	switch (luo_support()) {
	case LUO_SUPPORT_ON:
		return;
	case LUO_SUPPORT_OFF:
		complain(
			"live update is switched off in this kernel: boot it with kho=on liveupdate=on, until then nothing is kept");
		return;
	default:
		complain(
			"this kernel has no live update: until another one is booted, nothing is kept");
	}
}

/* ---- enable ---------------------------------------------------------------------------------- */

static int enable(struct report *report, unsigned version)
{
	int r;

	r = systemctl("enable", LUOD, HARVEST, NULL);
	if (r != 0)
		return failed("enable " LUOD " and " HARVEST, r);
	did(report, LUOD " is enabled: it starts at every boot.");
	did(report, HARVEST " is enabled: it runs before a kexec.");
	if (luo_support() == LUO_SUPPORT_ON) {
		r = systemctl("start", LUOD, PIN, NULL);
		if (r != 0)
			return failed("start " LUOD " and " PIN, r);
		did(report, LUOD " is started.");
	}
	if (version >= LUO_MANAGER_NATIVE)
		did(report,
		    "systemd %u hands over the fd stores of services itself, luod what it holds.",
		    version);
	else
		did(report,
		    "systemctl kexec now keeps the fd stores of services with FileDescriptorStorePreserve=yes.");
	warn_of_kernel();
	return LUOCTL_OK;
}

int verb_enable(struct context *c, int argc, char **argv)
{
	struct report report = { .context = c };
	unsigned version;
	int r;

	if (next_option(c, argc, argv, NULL, &r) != -1)
		return r;
	if (!count_arguments(c, argc, 0, 0))
		return LUOCTL_USAGE;
	r = check_systemd_is_there(&version);
	if (r == LUOCTL_OK && version < PRESERVE_SINCE) {
		complain("systemd %u frees the fd store of a service that stops; %d is needed",
			 version, PRESERVE_SINCE);
		r = LUOCTL_FAILED;
	}
	if (r == LUOCTL_OK)
		r = check_parts();
	if (r != LUOCTL_OK)
		return r;
	report.done = json_object_new_array();
	return finish(&report, enable(&report, version));
}

/* ---- disable --------------------------------------------------------------------------------- */

/* What is in those is not counted as held: nobody knows what it is. */
static size_t count_unreadable(struct json_object *status)
{
	struct json_object *sessions = json_child(status, "sessions");
	size_t n = 0;

	for (size_t i = 0; i < json_length(sessions); i++) {
		const char *state = json_string(json_at(sessions, i), "state");

		n += state && streq(state, "unreadable");
	}
	return n;
}

/*
 * What luod has when it is stopped stays in PID 1's store for it, where nobody asks for it any
 * more, and after the next reboot it is gone: a memory that a service waits for. So it has to be
 * empty.
 */
static int check_empty(struct context *c, bool force)
{
	_cleanup_json_ struct json_object *status = NULL;
	char size[FORMAT_MAX];
	size_t unreadable;
	int64_t n;
	int r;

	r = luo_client_connect(c->socket, c->timeout_usec, &c->client);
	/* It is not running, and may never have been: then it is empty, or has been left by a
	 * crash. */
	if (r == -ENOENT || r == -ECONNREFUSED)
		return LUOCTL_OK;
	r = ask_plain(c, "tell what luod holds", "Status", &status);
	if (r != LUOCTL_OK) {
		if (!force)
			fputs("To disable it nevertheless, and free all that it may hold: --force.\n",
			      stderr);
		return force ? LUOCTL_OK : r;
	}
	n = json_int(status, "held") + json_int(status, "stored");
	unreadable = count_unreadable(status);
	if (unreadable > 0)
		complain(
			"luod holds %zu session%s of the previous kernel that it does not understand%s",
			unreadable, unreadable == 1 ? "" : "s", force ? "; they are freed" : "");
	if (unreadable > 0 && n == 0 && !force)
		fputs("luoctl status shows them. To free them: --force.\n", stderr);
	if (n == 0)
		return force || unreadable == 0 ? LUOCTL_OK : LUOCTL_FAILED;
	complain("luod has %" PRId64 " fd%s (%s) that their services have not taken%s", n,
		 n == 1 ? "" : "s", format_size(size, (uint64_t)json_int(status, "bytes")),
		 force ? "; they are freed" : "");
	if (force)
		return LUOCTL_OK;
	fputs("Without luod they could not be had any more. luoctl list shows them: start their services, or\nfree them with luoctl drop, or with --force all of them here.\n",
	      stderr);
	return LUOCTL_FAILED;
}

static int remove_leftovers(struct report *report)
{
	int failures = 0;

	for (size_t i = 0; i < ELEMENTSOF(leftovers); i++) {
		int r = machine_remove_directory(leftovers[i]);

		if (r == 0)
			did(report, "%s is removed.", leftovers[i]);
		if (r == 0 || r == -ENOENT)
			continue;
		complain("cannot remove %s: %s", leftovers[i], strerror(-r));
		failures++;
	}
	return failures ? LUOCTL_FAILED : LUOCTL_OK;
}

static int disable(struct report *report)
{
	int r;

	/* First the one that would fill luod again. */
	r = systemctl("disable", HARVEST, LUOD, NULL);
	if (r != 0)
		return failed("disable " HARVEST " and " LUOD, r);
	did(report, HARVEST " is disabled.");
	did(report, LUOD " is disabled.");
	r = systemctl("stop", HARVEST, PIN, LUOD, PINS, NULL);
	if (r != 0)
		return failed("stop " LUOD, r);
	did(report, LUOD " is stopped.");
	/* The copies of its fds: its sessions end with them. There is nothing where it never ran.
	 */
	(void)systemctl("clean", "--what=fdstore", LUOD, NULL);
	r = remove_leftovers(report);
	/* The drop-ins of the generator, which has nothing to say now. */
	if (systemctl("daemon-reload", NULL) != 0) {
		complain(
			"cannot have systemd forget the drop-ins: systemctl daemon-reload has failed");
		r = LUOCTL_FAILED;
	}
	return r;
}

int verb_disable(struct context *c, int argc, char **argv)
{
	static const struct option options[] = {
		{ "force", no_argument, NULL, OPTION_VERB },
		{ 0 },
	};
	struct report report = { .context = c };
	bool force = false;
	unsigned version;
	int option, r;

	while ((option = next_option(c, argc, argv, options, &r)) >= 0)
		force = true;
	if (option != -1)
		return r;
	if (!count_arguments(c, argc, 0, 0))
		return LUOCTL_USAGE;
	r = check_systemd_is_there(&version);
	if (r == LUOCTL_OK)
		r = check_empty(c, force);
	if (r != LUOCTL_OK)
		return r;
	report.done = json_object_new_array();
	return finish(&report, disable(&report));
}
