/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * One line for each unit. The generator makes a drop-in for each of them, also when it runs again
 * because of a daemon-reload. The restore helper of a unit that is not listed has nothing to do. On
 * a machine without systemd there is no such file.
 */

#include "tools/luod/publish.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>

#include <luo/store.h>

#include "common/log.h"
#include "common/util.h"
#include "tools/luod/luod.h"
#include "tools/luod/managed.h"
#include "tools/luod/stores.h"

static bool is_listed(const struct luo_store *store, const char *name)
{
	struct luo_unit *unit = store ? luo_store_find_unit(store, name) : NULL;

	return unit && unit->n_entries > 0 && unit_is_managed(unit);
}

static void list_store(FILE *f, const struct luo_store *store, const struct luo_store *before)
{
	struct luo_unit *unit;

	if (!store)
		return;
	LUO_FOREACH_UNIT (unit, store)
		if (is_listed(store, unit->name) && !is_listed(before, unit->name))
			fprintf(f, "%s\n", unit->name);
}

static char *list_units(struct luod *l)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	list_store(f, l->state.stored, NULL);
	list_store(f, l->state.held, l->state.stored);
	list_store(f, stores_incoming(l), l->state.stored);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static int write_all(int fd, const char *text)
{
	size_t left = strlen(text);

	while (left > 0) {
		ssize_t n = write(fd, text, left);

		if (n < 0)
			return -errno;
		text += n;
		left -= (size_t)n;
	}
	return 0;
}

/* Replaces the file at once, by a rename. */
static int replace_file(const struct luod *l, const char *text)
{
	char path[PATH_MAX], fresh[PATH_MAX + 8];
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (snprintf(path, sizeof(path), "%s/units", l->options.runtime_dir) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	(void)unlink(fresh);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	r = write_all(fd, text);
	if (r >= 0 && rename(fresh, path) < 0)
		r = -errno;
	if (r < 0)
		(void)unlink(fresh);
	return r;
}

void publish_now(struct luod *l)
{
	char *text = l->publish_source ? list_units(l) : NULL;
	int r;

	if (!text || (l->published && streq(l->published, text))) {
		free(text);
		return;
	}
	r = replace_file(l, text);
	if (r < 0) {
		log_limited(LOG_WARNING, "Cannot write %s/units: %s.", l->options.runtime_dir,
			    strerror(-r));
		free(text);
		return;
	}
	free(l->published);
	l->published = text;
}

static int on_publish(sd_event_source *source, void *userdata)
{
	publish_now(userdata);
	return 0;
}

int publish_start(struct luod *l)
{
	int r;

	if (l->manager_version == 0)
		return 0;
	r = sd_event_add_defer(l->event, &l->publish_source, on_publish, l);
	if (r >= 0)
		r = sd_event_source_set_enabled(l->publish_source, SD_EVENT_OFF);
	if (r < 0)
		return r;
	/* Before luod reports that it is ready. */
	publish_now(l);
	return 0;
}
