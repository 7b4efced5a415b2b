/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "shutdown-hook/generator.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <syslog.h>

#include <luo/session.h>

#include "shutdown-hook/index.h"
#include "manager/manager.h"
#include "common/read-file.h"
#include "common/util.h"
#include "shutdown-hook/small-file.h"
#include "shutdown-hook/unit-file.h"

#define DEVICE_TIMEOUT USEC_PER_SEC

void generator_log(const struct generator *g, int priority, const char *format, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	g->log(priority, text);
}

/* ---- where the names come from --------------------------------------------------------------- */

static int read_runtime_file(const struct generator *g, const char *name, char **ret_text,
			     size_t *ret_size)
{
	char path[PATH_MAX];

	int r;

	snprintf(path, sizeof(path), "%s/%s", g->runtime_dir, name);
	r = read_file(path, INDEX_SIZE_MAX, ret_text, ret_size);
	if (r == -ENOTDIR)
		r = -ENOENT;
	if (r < 0 && r != -ENOENT)
		generator_log(g, LOG_WARNING, "Cannot read %s: %s.", path, strerror(-r));
	return r;
}

static int from_list(const struct generator *g, struct index *ret)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	int r;

	r = read_runtime_file(g, "units", &text, &size);
	return r < 0 ? r : index_parse_list(text, size, ret);
}

static int from_copy(const struct generator *g, struct index *ret)
{
	_cleanup_free_ char *text = NULL;
	const char *reason;
	size_t size;
	int r;

	r = read_runtime_file(g, "index.json", &text, &size);
	if (r < 0)
		return r;
	r = index_parse(text, size, ret, &reason);
	if (r < 0)
		generator_log(g, LOG_WARNING, "%s/index.json: %s.", g->runtime_dir, reason);
	return r;
}

/* A copy for later runs, and for luod's Status. */
static void keep_copy(const struct generator *g, const char *text, size_t size)
{
	char path[PATH_MAX];
	int r = 0;

	if (mkdir(g->runtime_dir, 0755) < 0 && errno != EEXIST)
		r = -errno;
	snprintf(path, sizeof(path), "%s/index.json", g->runtime_dir);
	if (r == 0)
		r = small_file_replace(path, 0600, text, size);
	if (r < 0)
		generator_log(
			g, LOG_WARNING,
			"Cannot write %s: %s. Until luod is up, a daemon-reload forgets which units have something to get back.",
			path, strerror(-r));
}

static int read_session(const struct generator *g, int session_fd, struct index *ret)
{
	_cleanup_close_ int fd = -EBADF;
	_cleanup_free_ char *text = NULL;
	const char *reason;
	size_t size;
	int r;

	r = luo_session_retrieve_fd(session_fd, LUO_TOKEN_MAPPING, &fd);
	if (r < 0) {
		reason = "there is no text in it";
	} else {
		r = read_file_fd(fd, INDEX_SIZE_MAX, &text, &size);
		reason = r == -EFBIG ? "larger than 1 MiB" : "it cannot be read";
	}
	if (r == 0)
		r = index_parse(text, size, ret, &reason);
	/*
	 * It cannot be kept: this process ends now, and with it the session. Nothing is lost but
	 * the names, which luod knows too and publishes when it is up.
	 */
	if (r < 0)
		generator_log(
			g, LOG_WARNING,
			"The index that the previous kernel left: %s (%s). Services may start without their fds, which luod keeps; restart them later.",
			reason, strerror(-r));
	else
		keep_copy(g, text, size);
	return r < 0 ? -EBADMSG : 0;
}

static int open_session(const struct generator *g, int *ret_fd)
{
	_cleanup_close_ int device = -EBADF;
	int r;

	r = luo_device_open(DEVICE_TIMEOUT, &device);
	if (r == -ENODEV || r == -EOPNOTSUPP)
		return r;
	if (r == 0)
		r = luo_session_retrieve(device, INDEX_SESSION, ret_fd);
	/* -EINVAL: retrieved before, by a run that could not keep a copy. */
	if (r < 0 && r != -ENOENT && r != -EINVAL)
		generator_log(g, LOG_WARNING,
			      "Cannot ask the kernel which units have something to get back: %s.",
			      strerror(-r));
	return r;
}

static int from_session(const struct generator *g, struct index *ret)
{
	_cleanup_close_ int fd = -EBADF;
	int r;

	r = open_session(g, &fd);
	if (r < 0)
		return r;
	r = read_session(g, fd, ret);
	(void)luo_session_finish(fd);
	return r;
}

int generator_find_units(const struct generator *g, struct index *ret)
{
	struct index found = { 0 };
	int r;

	r = from_list(g, &found);
	if (r < 0)
		r = from_copy(g, &found);
	if (r == -ENOENT)
		r = from_session(g, &found);
	if (r < 0 && r != -ENOENT && r != -EINVAL)
		return r;
	if (found.skipped > 0)
		generator_log(
			g, LOG_WARNING,
			"%zu names in the list of units are no names of services, or too many (at most %d).",
			found.skipped, INDEX_UNITS_MAX);
	*ret = found;
	return 0;
}

/* ---- drop-ins -------------------------------------------------------------------------------- */

/*
 * Those of luod and those that luod waits for: they would wait for each other. luod.service is
 * ordered after nothing but systemd-journald.socket, which every service that logs is.
 */
static bool is_ours(const char *unit)
{
	static const char *const names[] = { "luod.service", "luo-harvest.service",
					     "systemd-journald.service" };

	for (size_t i = 0; i < ELEMENTSOF(names); i++)
		if (streq(unit, names[i]))
			return true;
	return false;
}

/*
 * The helper runs as ExecStartPre=, and has to speak for the unit: NotifyAccess=exec at least. A
 * unit that has "exec" or "all" is left as it is: narrower would break it. One that has "main" (or
 * nothing, which is "main" with an fd store) gets "exec" until the helper has said
 * NOTIFYACCESS=main, which systemd knows from 254 and forgets at the next start: so the main
 * process runs with what its unit file says.
 *
 * The name sorts behind "override.conf", which "systemctl edit" writes: what is set there would
 * override ours otherwise, and an empty ExecStartPre= would remove it.
 */
static int format_dropin(const struct generator *g, const struct unit_settings *s, char *buffer,
			 size_t size)
{
	bool widen = s->notify_access != UNIT_NOTIFY_EXEC && s->notify_access != UNIT_NOTIFY_ALL;

	return snprintf(buffer, size,
			"# Written by luo-generator(8): this unit has fds to get back.\n"
			"%s[Service]\n"
			"%sExecStartPre=%s+%s%s%s%s -- %%n\n",
			g->user ? "" : "[Unit]\nWants=luod.service\nAfter=luod.service\n\n",
			widen ? "NotifyAccess=exec\n" : "", s->required ? "" : "-", g->helper,
			g->user ? " --user" : "", widen ? " --notify-access=main" : "",
			s->required ? " --required" : "");
}

static int write_dropin(const struct generator *g, const struct unit_dirs *dirs, const char *unit)
{
	char path[PATH_MAX], text[PATH_MAX + 512];
	struct unit_settings settings = { 0 };
	int n, r;

	r = unit_settings_read(dirs, unit, &settings);
	if (r < 0)
		return r;
	n = format_dropin(g, &settings, text, sizeof(text));
	if (n < 0 || (size_t)n >= sizeof(text))
		return -ENAMETOOLONG;
	snprintf(path, sizeof(path), "%s/%s.d", g->directory, unit);
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return -errno;
	snprintf(path, sizeof(path), "%s/%s.d/" GENERATOR_DROPIN, g->directory, unit);
	return small_file_replace(path, 0644, text, (size_t)n);
}

/* Looked up only where it matters: at the first run, which alone knows of native units. */
static bool manager_is_native(const struct generator *g, const struct index *index)
{
	for (size_t i = 0; i < index->n; i++)
		if (index->units[i].native)
			return g->manager_version() >= LUO_MANAGER_NATIVE;
	return false;
}

int generator_write(const struct generator *g, const struct index *index)
{
	bool native = manager_is_native(g, index);
	struct unit_dirs dirs = { 0 };
	int written = 0, failed, r;

	failed = unit_dirs_open(g->unit_path, &dirs);
	for (size_t i = 0; failed != -ENOMEM && i < index->n; i++) {
		const struct index_unit *unit = &index->units[i];

		if ((native && unit->native) || is_ours(unit->name))
			continue;
		r = write_dropin(g, &dirs, unit->name);
		written += r == 0;
		if (r == 0)
			continue;
		failed = r;
		generator_log(
			g, LOG_ERR,
			"Cannot write a drop-in for %s: %s. It starts without its fds, which luod keeps.",
			unit->name, strerror(-r));
	}
	unit_dirs_done(&dirs);
	return failed < 0 ? failed : written;
}

int generator_run(const struct generator *g)
{
	struct index index = { 0 };
	int r;

	r = generator_find_units(g, &index);
	if (r == -ENODEV || r == -EOPNOTSUPP)
		return 0;
	if (r == 0 && index.n > 0) {
		r = generator_write(g, &index);
		if (r == -ENOMEM)
			generator_log(g, LOG_ERR, "There is no memory for the drop-ins.");
		else if (r > 0)
			generator_log(g, LOG_INFO, "%d units have something to get back.", r);
	}
	index_done(&index);
	return r < 0;
}
