/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "shutdown-hook/unit-file.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/read-file.h"
#include "common/util.h"

#define UNIT_FILE_MAX ((size_t)1 << 20)
#define LINE_MAX_SIZE 4096
/* Of one unit; nobody has so many. */
#define DROPINS_MAX 1024

static const char system_dirs[] =
	"/etc/systemd/system.control:/run/systemd/system.control:/run/systemd/transient:/etc/systemd/system:/run/systemd/system:/usr/local/lib/systemd/system:/usr/lib/systemd/system:/lib/systemd/system";

/* ---- directories ----------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_names(const char *path, char ***ret_names, size_t *ret_n)
{
	DIR *dir = opendir(path);
	char **names = NULL;
	struct dirent *d;
	size_t n = 0;
	int r = 0;

	while (dir && r == 0 && (d = readdir(dir))) {
		char **more;

		if (d->d_name[0] == '.')
			continue;
		more = reallocarray(names, n + 1, sizeof(*more));
		if (more) {
			names = more;
			names[n] = strdup(d->d_name);
		}
		r = more && names[n] ? 0 : -ENOMEM;
		n += r == 0;
	}
	if (dir)
		closedir(dir);
	if (n > 0)
		qsort(names, n, sizeof(*names), compare_names);
	*ret_names = names;
	*ret_n = n;
	return r;
}

static bool has_name(const struct unit_dir *dir, const char *name)
{
	return dir->n > 0 && bsearch(&name, dir->names, dir->n, sizeof(*dir->names), compare_names);
}

static void free_names(char **names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

void unit_dirs_done(struct unit_dirs *dirs)
{
	for (size_t i = 0; i < dirs->n; i++) {
		free(dirs->dirs[i].path);
		free_names(dirs->dirs[i].names, dirs->dirs[i].n);
	}
	free(dirs->dirs);
	*dirs = (struct unit_dirs){ 0 };
}

static int add_dir(struct unit_dirs *dirs, const char *path)
{
	struct unit_dir *more = reallocarray(dirs->dirs, dirs->n + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	dirs->dirs = more;
	more += dirs->n++;
	*more = (struct unit_dir){ .path = strdup(path) };
	return more->path ? list_names(path, &more->names, &more->n) : -ENOMEM;
}

static int add_dirs(struct unit_dirs *dirs, const char *list)
{
	_cleanup_free_ char *copy = strdup(list);
	char *save = NULL;
	int r = copy ? 0 : -ENOMEM;

	for (char *s = copy ? strtok_r(copy, ":", &save) : NULL; s && r == 0;
	     s = strtok_r(NULL, ":", &save))
		r = add_dir(dirs, s);
	return r;
}

int unit_dirs_open(const char *list, struct unit_dirs *ret)
{
	struct unit_dirs dirs = { 0 };
	int r;

	r = add_dirs(&dirs, list ?: system_dirs);
	/* As systemd has it for $SYSTEMD_UNIT_PATH: an empty last one stands for the usual ones. */
	if (r == 0 && list && *list && list[strlen(list) - 1] == ':')
		r = add_dirs(&dirs, system_dirs);
	if (r < 0) {
		unit_dirs_done(&dirs);
		return r;
	}
	*ret = dirs;
	return 0;
}

/* ---- text ------------------------------------------------------------------------------------ */

static char *strip(char *s)
{
	size_t n;

	s += strspn(s, " \t\r");
	n = strlen(s);
	while (n > 0 && strchr(" \t\r", s[n - 1]))
		s[--n] = '\0';
	return s;
}

static void set_notify_access(struct unit_settings *settings, const char *value)
{
	static const char *const values[] = {
		[UNIT_NOTIFY_NONE] = "none",
		[UNIT_NOTIFY_MAIN] = "main",
		[UNIT_NOTIFY_EXEC] = "exec",
		[UNIT_NOTIFY_ALL] = "all",
	};

	/* Anything else is ignored by systemd too, with a warning. */
	for (unsigned i = UNIT_NOTIFY_NONE; i < ELEMENTSOF(values); i++)
		if (streq(value, values[i]))
			settings->notify_access = i;
}

/* systemd's booleans, and on-success. */
static void set_preserve(struct unit_settings *settings, const char *value)
{
	static const char *const yes[] = { "on-success", "yes", "y", "true", "t", "on", "1" };

	settings->preserves_store = false;
	for (size_t i = 0; i < ELEMENTSOF(yes); i++)
		if (strcasecmp(value, yes[i]) == 0)
			settings->preserves_store = true;
}

enum section { SECTION_OTHER, SECTION_UNIT, SECTION_SERVICE };

static void parse_line(char *line, enum section *section, struct unit_settings *settings)
{
	char *value, *key;

	line = strip(line);
	if (*line == '[') {
		*section = streq(line, "[Service]") ? SECTION_SERVICE
			   : streq(line, "[Unit]")  ? SECTION_UNIT
						    : SECTION_OTHER;
		return;
	}
	value = strchr(line, '=');
	if (!value || *section == SECTION_OTHER)
		return;
	*value++ = '\0';
	key = strip(line);
	value = strip(value);
	if (*section == SECTION_SERVICE && streq(key, "NotifyAccess"))
		set_notify_access(settings, value);
	else if (*section == SECTION_SERVICE && streq(key, "FileDescriptorStorePreserve"))
		set_preserve(settings, value);
	else if (streq(key, "X-LUO-Restore"))
		settings->required = streq(value, "required");
}

/* What is longer than this can only be a setting that is not looked for. */
struct joined {
	char text[LINE_MAX_SIZE];
	size_t n;
};

static void append(struct joined *line, const char *text, size_t n)
{
	n = MIN2(n, sizeof(line->text) - 1 - line->n);
	memcpy(line->text + line->n, text, n);
	line->n += n;
}

static bool is_comment(const char *text, size_t n)
{
	size_t i = 0;

	while (i < n && (text[i] == ' ' || text[i] == '\t'))
		i++;
	return i < n && (text[i] == '#' || text[i] == ';');
}

/* A line that ends in a backslash goes on in the next one that is no comment. */
void unit_settings_parse(const char *text, size_t size, struct unit_settings *settings)
{
	enum section section = SECTION_OTHER;
	const char *end = text + size, *next;
	struct joined line = { .n = 0 };

	for (; text < end; text = next) {
		const char *line_end = memchr(text, '\n', (size_t)(end - text)) ?: end;
		size_t n = (size_t)(line_end - text);
		bool goes_on = n > 0 && text[n - 1] == '\\';

		next = line_end < end ? line_end + 1 : end;
		if (is_comment(text, n))
			continue;
		append(&line, text, n - goes_on);
		if (goes_on && next < end) {
			append(&line, " ", 1);
			continue;
		}
		line.text[line.n] = '\0';
		parse_line(line.text, &section, settings);
		line.n = 0;
	}
}

/* ---- files ----------------------------------------------------------------------------------- */

/* 1: read; 0: it is not there, or masks what comes after it. */
static int parse_file(const char *path, struct unit_settings *settings)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r;

	r = read_file(path, UNIT_FILE_MAX, &text, &size);
	if (r < 0)
		return r == -ENOMEM ? r : 0;
	unit_settings_parse(text, size, settings);
	return size > 0;
}

static int parse_in(const struct unit_dir *dir, const char *sub, const char *name,
		    struct unit_settings *settings)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/%s%s%s", dir->path, sub ?: "", sub ? "/" : "",
			 name);

	return n < 0 || (size_t)n >= sizeof(path) ? 0 : parse_file(path, settings);
}

/* The first directory that has it decides, also if what it has is a mask. 1: it is there at all. */
static int read_fragment(const struct unit_dirs *dirs, const char *name,
			 struct unit_settings *settings)
{
	for (size_t i = 0; i < dirs->n; i++)
		if (has_name(&dirs->dirs[i], name)) {
			int r = parse_in(&dirs->dirs[i], NULL, name, settings);

			settings->found = r > 0;
			return r < 0 ? r : 1;
		}
	return 0;
}

/* ---- drop-ins -------------------------------------------------------------------------------- */

struct dropin {
	const struct unit_dir *dir;
	char *sub;
	char *name;
	size_t rank; /* of several with the same name the lowest counts */
};

struct dropins {
	struct dropin *items;
	size_t n;
	size_t rank;
};

static void dropins_done(struct dropins *d)
{
	for (size_t i = 0; i < d->n; i++) {
		free(d->items[i].sub);
		free(d->items[i].name);
	}
	free(d->items);
}

static int add_dropin(struct dropins *d, const struct unit_dir *dir, const char *sub, char *name)
{
	struct dropin *more = reallocarray(d->items, d->n + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	d->items = more;
	more += d->n;
	*more = (struct dropin){ .dir = dir, .sub = strdup(sub), .rank = d->rank };
	more->name = strdup(name);
	d->n++;
	return more->sub && more->name ? 0 : -ENOMEM;
}

static bool is_conf(const char *name)
{
	size_t n = strlen(name);

	return n > 5 && streq(name + n - 5, ".conf");
}

/* All of SUB, "a.service.d", in each of the directories. */
static int collect(struct dropins *d, const struct unit_dirs *dirs, const char *sub)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < dirs->n; i++) {
		_cleanup_free_ char *path = NULL;
		char **names = NULL;
		size_t n = 0;

		d->rank++;
		if (!has_name(&dirs->dirs[i], sub))
			continue;
		if (asprintf(&path, "%s/%s", dirs->dirs[i].path, sub) < 0) {
			path = NULL;
			return -ENOMEM;
		}
		r = list_names(path, &names, &n);
		for (size_t k = 0; r == 0 && k < n; k++)
			if (is_conf(names[k]) && d->n < DROPINS_MAX)
				r = add_dropin(d, &dirs->dirs[i], sub, names[k]);
		free_names(names, n);
	}
	return r;
}

static int compare_dropins(const void *a, const void *b)
{
	const struct dropin *x = a, *y = b;
	int r = strcmp(x->name, y->name);

	return r != 0 ? r : (x->rank > y->rank) - (x->rank < y->rank);
}

/* "a-b-c@d.service": "a-b-.service.d", then "a-.service.d". */
static int collect_prefixes(struct dropins *d, const struct unit_dirs *dirs, const char *unit)
{
	char sub[NAME_MAX + 16];
	size_t n = strcspn(unit, "@");
	int r = 0;

	n = MIN2(n, strlen(unit) - strlen(".service"));
	while (r == 0 && n > 0) {
		if (unit[--n] != '-')
			continue;
		snprintf(sub, sizeof(sub), "%.*s.service.d", (int)n + 1, unit);
		r = collect(d, dirs, sub);
	}
	return r;
}

static int read_dropins(const struct unit_dirs *dirs, const char *unit, const char *template,
			struct unit_settings *settings)
{
	struct dropins d = { 0 };
	char sub[NAME_MAX + 16];
	int r;

	snprintf(sub, sizeof(sub), "%s.d", unit);
	r = collect(&d, dirs, sub);
	if (r == 0 && template) {
		snprintf(sub, sizeof(sub), "%s.d", template);
		r = collect(&d, dirs, sub);
	}
	if (r == 0)
		r = collect_prefixes(&d, dirs, unit);
	if (r == 0)
		r = collect(&d, dirs, "service.d");
	if (r == 0 && d.n > 0)
		qsort(d.items, d.n, sizeof(*d.items), compare_dropins);
	for (size_t i = 0; r >= 0 && i < d.n; i++)
		if (i == 0 || !streq(d.items[i].name, d.items[i - 1].name))
			r = parse_in(d.items[i].dir, d.items[i].sub, d.items[i].name, settings);
	dropins_done(&d);
	return r < 0 ? r : 0;
}

/* NULL in *ret if @unit is no instance. */
static int template_of(const char *unit, char **ret)
{
	const char *at = strchr(unit, '@');

	*ret = NULL;
	if (!at)
		return 0;
	if (asprintf(ret, "%.*s.service", (int)(at - unit) + 1, unit) < 0) {
		*ret = NULL;
		return -ENOMEM;
	}
	return 0;
}

int unit_settings_read(const struct unit_dirs *dirs, const char *unit, struct unit_settings *ret)
{
	_cleanup_free_ char *template = NULL;
	struct unit_settings settings = { 0 };
	int r;

	r = template_of(unit, &template);
	if (r == 0)
		r = read_fragment(dirs, unit, &settings);
	if (r == 0 && template)
		r = read_fragment(dirs, template, &settings);
	if (r >= 0)
		r = read_dropins(dirs, unit, template, &settings);
	if (r < 0)
		return r;
	*ret = settings;
	return 0;
}
