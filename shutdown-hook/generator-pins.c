/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "shutdown-hook/generator-pins.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>

#include <luo/session.h>
#include <luo/store.h>

#include "manager/manager.h"
#include "common/util.h"
#include "shutdown-hook/small-file.h"
#include "shutdown-hook/unit-file.h"

#define PINS_DROPIN "zz-luo-stores.conf"
#define UNITS_MAX   16384

struct names {
	char **list;
	size_t n;
};

static void names_done(struct names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->list[i]);
	free(names->list);
}

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);

	return n >= m && streq(text + n - m, end);
}

/* A template is no unit, its instances are. */
static bool is_service(const char *name)
{
	return ends_with(name, ".service") && !ends_with(name, "@.service") &&
	       luo_unit_name_is_valid(name);
}

static int add_name(struct names *names, const char *name)
{
	if (names->n >= UNITS_MAX)
		return -E2BIG;
	if ((names->n & (names->n - 1)) == 0) {
		size_t n = names->n ? names->n * 2 : 1;
		char **more = reallocarray(names->list, n, sizeof(*more));

		if (!more)
			return -ENOMEM;
		names->list = more;
	}
	names->list[names->n] = strdup(name);
	return names->list[names->n++] ? 0 : -ENOMEM;
}

/* Instances have no file of their own; what enables them has their name. */
static int add_instances(struct names *names, const char *directory, const char *sub)
{
	char path[PATH_MAX];
	struct dirent *d;
	int r = 0;
	DIR *dir;

	if (snprintf(path, sizeof(path), "%s/%s", directory, sub) >= (int)sizeof(path))
		return 0;
	dir = opendir(path);
	while (dir && r == 0 && (d = readdir(dir)))
		if (strchr(d->d_name, '@') && is_service(d->d_name))
			r = add_name(names, d->d_name);
	if (dir)
		closedir(dir);
	return r;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void unite(struct names *names)
{
	size_t kept = 0;

	if (names->n == 0)
		return;
	qsort(names->list, names->n, sizeof(*names->list), compare);
	for (size_t i = 0; i < names->n; i++)
		if (kept > 0 && streq(names->list[kept - 1], names->list[i]))
			free(names->list[i]);
		else
			names->list[kept++] = names->list[i];
	names->n = kept;
}

static int find_services(const struct unit_dirs *dirs, struct names *ret)
{
	int r = 0;

	for (size_t i = 0; i < dirs->n; i++)
		for (size_t k = 0; k < dirs->dirs[i].n && r == 0; k++) {
			const char *name = dirs->dirs[i].names[k];

			if (is_service(name))
				r = add_name(ret, name);
			else if (ends_with(name, ".wants") || ends_with(name, ".requires"))
				r = add_instances(ret, dirs->dirs[i].path, name);
		}
	unite(ret);
	return r;
}

/* systemd's own keep sockets in their stores, and luod would wait for them at boot. */
static bool is_left_out(const char *unit)
{
	return startswith(unit, "systemd-") || streq(unit, "luod.service") ||
	       streq(unit, "luo-harvest.service");
}

static int list_stores(const struct unit_dirs *dirs, const struct names *names, FILE *f)
{
	int n = 0;

	for (size_t i = 0; i < names->n; i++) {
		struct unit_settings settings = { 0 };
		int r;

		if (is_left_out(names->list[i]))
			continue;
		r = unit_settings_read(dirs, names->list[i], &settings);
		if (r < 0)
			return r;
		if (!settings.found || !settings.preserves_store)
			continue;
		fprintf(f, "Before=%s\n", names->list[i]);
		n++;
	}
	return n;
}

static int write_pins(const struct generator *g, const char *text, size_t size)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/luod.service.d", g->directory);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return -errno;
	snprintf(path, sizeof(path), "%s/luod.service.d/" PINS_DROPIN, g->directory);
	return small_file_replace(path, 0644, text, size);
}

static int pin(const struct generator *g, const struct unit_dirs *dirs)
{
	_cleanup_free_ char *text = NULL;
	struct names names = { 0 };
	size_t size = 0;
	FILE *f;
	int n, r;

	r = find_services(dirs, &names);
	f = r == 0 ? open_memstream(&text, &size) : NULL;
	if (!f) {
		names_done(&names);
		return r < 0 ? r : -ENOMEM;
	}
	fputs("# Written by luo-generator(8): systemd forgets a stopped unit that nobody refers to, and\n# its fd store with it. luod stays to the end, and refers to these.\n[Unit]\n",
	      f);
	n = list_stores(dirs, &names, f);
	names_done(&names);
	if (fclose(f) != 0)
		return -ENOMEM;
	return n > 0 ? write_pins(g, text, size) : n;
}

int generator_pin(const struct generator *g)
{
	struct unit_dirs dirs = { 0 };
	int r;

	if (luo_support() != LUO_SUPPORT_ON || g->manager_version() >= LUO_MANAGER_NATIVE)
		return 0;
	r = unit_dirs_open(g->unit_path, &dirs);
	if (r == 0)
		r = pin(g, &dirs);
	unit_dirs_done(&dirs);
	if (r < 0)
		generator_log(
			g, LOG_WARNING,
			"Cannot note which services have an fd store to be preserved: %s. Those that are stopped and forgotten before the end of a shutdown lose it.",
			strerror(-r));
	return r;
}
