/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * luo-user-generator: what luo-generator is for PID 1, for the manager of a user. It runs as the
 * user when his manager starts, and at each daemon-reload of it.
 *
 * luod has been up for long then, and is asked what it holds for the unit of the caller,
 * user@UID.service: "a.service/NAME" is something for the user's a.service. All of that comes from
 * the user, and drop-ins are only written for his own manager.
 */

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <syslog.h>

#include <luo/store.h>

#include "shutdown-hook/generator.h"
#include "shutdown-hook/index.h"
#include "libluo/client/internal.h"
#include "common/help.h"
#include "common/json.h"
#include "common/util.h"

/* A login waits for this. */
#define DEADLINE_SECONDS 10
#define CALL_TIMEOUT     (3 * USEC_PER_SEC)

/* Where a manager keeps what its generators print depends on what started it. */
static void log_to_stderr(int priority, const char *text)
{
	fprintf(stderr, "<%d>luo-user-generator: %s\n", priority, text);
}

/* ---- what luod has --------------------------------------------------------------------------- */

static int add_units(struct luo_reply *reply, void *userdata)
{
	struct json_object *entries;
	FILE *f = userdata;

	if (!json_object_object_get_ex(reply->parameters, "entries", &entries) ||
	    !json_object_is_type(entries, json_type_array))
		return -EBADMSG;
	for (size_t i = 0; i < json_object_array_length(entries); i++) {
		struct json_object *e = json_object_array_get_idx(entries, i);
		const char *name = json_string(e, "name"), *state = json_string(e, "state");
		const char *slash = name ? strchr(name, '/') : NULL;

		if (slash && state && !streq(state, "lost"))
			fprintf(f, "%.*s\n", (int)(slash - name), name);
	}
	return 0;
}

static int ask_luod(FILE *f)
{
	struct json_object *o;
	struct luo_client *client;
	char unit[64];
	int r;

	snprintf(unit, sizeof(unit), "user@%u.service", (unsigned)geteuid());
	o = json_strings("unit", unit, NULL);
	if (!o)
		return -ENOMEM;
	r = luo_client_connect(NULL, CALL_TIMEOUT, &client);
	if (r < 0) {
		json_object_put(o);
		return r == -ENOENT || r == -ECONNREFUSED ? -ENOENT : r;
	}
	r = luo_client_call_more_object(client, "io.luo.ListEntries", o, add_units, f);
	if (r < 0) {
		const char *name = NULL;

		luo_client_error(client, &name, NULL);
		/* Without a unit, luod can have nothing for it. */
		if (name &&
		    (streq(name, "io.luo.NoSuchUnit") || streq(name, "io.luo.UnknownCaller")))
			r = -ENOENT;
	}
	luo_client_free(client);
	return r;
}

static int find_units(struct index *ret)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *f;
	int r;

	f = open_memstream(&text, &size);
	if (!f)
		return -ENOMEM;
	r = ask_luod(f);
	if (fclose(f) != 0)
		return -ENOMEM;
	/* Names that are no names of services are left out by this, and so is what is said twice.
	 */
	return r < 0 ? r : index_parse_list(text, size, ret);
}

/* ---- where units are ------------------------------------------------------------------------- */

static void add_dirs(FILE *f, const char *variable, const char *below_home, const char *const *subs)
{
	const char *base = getenv(variable), *home = getenv("HOME");

	for (; *subs; subs++)
		if (base && *base == '/')
			fprintf(f, "%s/systemd/%s:", base, *subs);
		else if (below_home && home && *home == '/')
			fprintf(f, "%s/%s/systemd/%s:", home, below_home, *subs);
}

/* See systemd.unit(5), "User Unit Search Path", without what generators write. */
static char *unit_path(void)
{
	static const char *const control[] = { "user.control", NULL };
	static const char *const runtime[] = { "transient", NULL };
	static const char *const user[] = { "user", NULL };
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	add_dirs(f, "XDG_CONFIG_HOME", ".config", control);
	add_dirs(f, "XDG_RUNTIME_DIR", NULL, control);
	add_dirs(f, "XDG_RUNTIME_DIR", NULL, runtime);
	add_dirs(f, "XDG_CONFIG_HOME", ".config", user);
	fputs("/etc/systemd/user:", f);
	add_dirs(f, "XDG_RUNTIME_DIR", NULL, user);
	fputs("/run/systemd/user:", f);
	add_dirs(f, "XDG_DATA_HOME", ".local/share", user);
	fputs("/usr/local/share/systemd/user:/usr/share/systemd/user:/usr/local/lib/systemd/user:/usr/lib/systemd/user",
	      f);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static unsigned no_version(void)
{
	return 0;
}

static const char help[] =
	"Usage: luo-user-generator NORMAL-DIR [EARLY-DIR LATE-DIR]\n"
	"\n"
	"Writes drop-ins that give the services of a user what luod holds for them. The manager of the\n"
	"user runs this generator at its start and at every daemon-reload.\n"
	"\n"
	"  -h, --help     print this\n"
	"  -V, --version  print the version\n"
	"\n"
	"See luo-generator(8).\n";

int main(int argc, char *argv[])
{
	_cleanup_free_ char *path = NULL;
	struct generator g = {
		.helper = LUO_RESTORE,
		.user = true,
		.manager_version = no_version,
		.log = log_to_stderr,
	};
	struct index index = { 0 };
	int r;

	if (help_or_version(argc, argv, "luo-user-generator", help))
		return EXIT_SUCCESS;
	if (argc != 2 && argc != 4) {
		fputs("luo-user-generator: it takes one or three directories.\n"
		      "Try 'luo-user-generator --help'.\n",
		      stderr);
		return 2;
	}
	alarm(DEADLINE_SECONDS);
	umask(0022);
	g.directory = argv[1];
	g.unit_path = getenv("SYSTEMD_UNIT_PATH");
	if (!g.unit_path)
		g.unit_path = path = unit_path();
	r = find_units(&index);
	if (r == 0 && index.n > 0)
		r = generator_write(&g, &index);
	else if (r < 0 && r != -ENOENT)
		generator_log(
			&g, LOG_WARNING,
			"Cannot ask luod what it has for the services of this user: %s. \"systemctl --user daemon-reload\" asks again.",
			strerror(-r));
	index_done(&index);
	return r < 0 && r != -ENOENT;
}
