/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "shutdown-hook/restore.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <syslog.h>

#include "common/read-file.h"
#include "common/util.h"

#define LIST_SIZE_MAX ((size_t)4 << 20)

/*
 * For a claim: luod retrieves everything before it answers, and a cgroup above its memory.high is
 * slowed down. What is not ready then goes on in luod, and is there at the next start.
 */
#define CLAIM_TIMEOUT (30 * USEC_PER_SEC)
#define CLAIM_RATE    ((uint64_t)16 << 20) /* bytes a second */
#define CLAIM_LONGEST (30 * 60 * USEC_PER_SEC)
#define AFTER_USEC    (90 * USEC_PER_SEC)

void restore_say(int priority, const char *format, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	/* In front of a line the journal understands a level. */
	if (getenv("JOURNAL_STREAM"))
		fprintf(stderr, "<%d>%s\n", priority, text);
	else
		fprintf(stderr, "luo-restore: %s\n", text);
}

static void format_bytes(uint64_t bytes, char buffer[32])
{
	static const char *const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
	double value = (double)bytes;
	size_t i = 0;

	for (; value >= 1024 && i + 1 < ELEMENTSOF(units); i++)
		value /= 1024;
	snprintf(buffer, 32, i == 0 ? "%.0f %s" : "%.1f %s", value, units[i]);
}

/* ---- is there anything, and has it room ------------------------------------------------------ */

static bool has_line(const char *text, const char *line)
{
	size_t n = strlen(line);

	for (const char *p = strstr(text, line); p; p = strstr(p + 1, line))
		if ((p == text || p[-1] == '\n') && (p[n] == '\n' || p[n] == '\0'))
			return true;
	return false;
}

/* False: luod says that there is nothing. True: maybe, or nobody knows yet. */
static bool is_listed(const struct restore *restore)
{
	_cleanup_free_ char *text = NULL;
	char path[PATH_MAX];
	size_t size;

	snprintf(path, sizeof(path), "%s/units", restore->runtime_dir);
	return restore->owner || read_file(path, LIST_SIZE_MAX, &text, &size) < 0 ||
	       has_line(text, restore->unit);
}

/* What is in the unit's fd store in PID 1. */
struct have {
	struct luo_manager_fd *fds;
	size_t n;
};

static void have_done(struct have *have)
{
	if (have->fds)
		luo_manager_fds_free(have->fds, have->n);
}

static int look(const struct restore *restore, struct have *ret)
{
	struct have have = { 0 };
	int r = -ETIMEDOUT;

	for (int i = 0; i < RESTORE_LOOKS && r == -ETIMEDOUT; i++) {
		if (i > 0)
			restore_notify("EXTEND_TIMEOUT_USEC=%llu",
				       (unsigned long long)(RESTORE_LOOK_TIMEOUT + AFTER_USEC));
		r = restore->dump(restore->userdata, restore->unit, &have.fds, &have.n);
	}
	if (r < 0) {
		restore_say(
			LOG_ERR,
			"%s: systemd does not say what is in the fd store: %s. Luod keeps everything.",
			restore->unit, strerror(-r));
		return r == -ENOENT ? -EIO : r;
	}
	*ret = have;
	return 0;
}

/* How many of them PID 1 does not have. */
static size_t count_new(const struct restore_listed *listed, const struct have *have)
{
	size_t n = 0;

	for (size_t i = 0; i < listed->n; i++) {
		const struct restore_entry *e = &listed->entries[i];
		bool found = false;

		for (size_t k = 0; e->inode != 0 && k < have->n && !found; k++)
			found = have->fds[k].inode == e->inode && streq(have->fds[k].name, e->name);
		n += !found;
	}
	return n;
}

/* PID 1 closes what does not fit. It would not be lost, but this way it is not even retrieved. */
static bool has_room(const struct restore *restore, const struct restore_listed *listed,
		     const struct have *have)
{
	unsigned long max = restore->fdstore ? strtoul(restore->fdstore, NULL, 10) : 0;
	size_t n = count_new(listed, have);

	if (n == 0 || have->n + n <= max)
		return true;
	if (max == 0)
		restore_say(
			LOG_WARNING,
			"%s has no fd store: %zu fd%s with luod. Set FileDescriptorStoreMax= to %zu or more, and start it again.",
			restore->unit, n, n == 1 ? " stays" : "s stay", n);
	else
		restore_say(
			LOG_WARNING,
			"The fd store of %s is too small: %zu fd%s with luod. Raise FileDescriptorStoreMax= from %lu to %zu or more, and start it again.",
			restore->unit, n, n == 1 ? " stays" : "s stay", max, have->n + n);
	return false;
}

/* ---- pushing --------------------------------------------------------------------------------- */

static size_t say_lost(const struct restore *restore, const struct restore_fds *fds)
{
	size_t n = 0;

	for (size_t i = 0; i < fds->n; i++) {
		if (fds->items[i].fd >= 0)
			continue;
		restore_say(LOG_WARNING, "%s: \"%s\" is lost%s%s.", restore->unit,
			    fds->items[i].name, fds->items[i].reason ? ": " : "",
			    fds->items[i].reason ?: "");
		n++;
	}
	return n;
}

static int push_all(const struct restore *restore, const struct restore_fds *fds, const bool *there)
{
	int r;

	for (size_t i = 0; i < fds->n; i++) {
		if (fds->items[i].fd < 0 || there[i])
			continue;
		r = restore_push(&fds->items[i]);
		if (r == 0)
			continue;
		restore_say(LOG_ERR, "%s: cannot push \"%s\" to systemd: %s. Luod keeps it.",
			    restore->unit, fds->items[i].name,
			    r == -ENOTCONN ? "it does not listen (NotifyAccess=)" : strerror(-r));
		return r;
	}
	r = restore_barrier();
	if (r < 0)
		restore_say(LOG_ERR, "%s: systemd does not answer: %s. Luod keeps everything.",
			    restore->unit, strerror(-r));
	return r;
}

/* ---- what luod may forget -------------------------------------------------------------------- */

/* Whether all of that name have been taken. luod knows no difference between those of one name. */
static bool name_is_taken(const struct restore_fds *fds, const bool *taken, const char *name)
{
	for (size_t i = 0; i < fds->n; i++)
		if (fds->items[i].fd >= 0 && !taken[i] && streq(fds->items[i].name, name))
			return false;
	return true;
}

static bool is_first_of_name(const struct restore_fds *fds, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (fds->items[k].fd >= 0 && streq(fds->items[k].name, fds->items[i].name))
			return false;
	return true;
}

static int forget_some(const struct restore *restore, const struct restore_fds *fds,
		       const bool *taken)
{
	int failed = 0;

	for (size_t i = 0; i < fds->n; i++) {
		const struct restore_fd *fd = &fds->items[i];

		if (fd->fd < 0)
			continue;
		if (!taken[i])
			restore_say(LOG_ERR, "%s: systemd did not take \"%s\". Luod keeps it.",
				    restore->unit, fd->name);
		if (is_first_of_name(fds, i) && name_is_taken(fds, taken, fd->name)) {
			int r = restore_forget(restore, fd->name);

			failed = r < 0 ? r : failed;
		}
	}
	return failed;
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void say_done(const struct restore *restore, const struct restore_fds *fds,
		     const bool *there, const bool *taken, uint64_t start)
{
	size_t n = 0, n_there = 0;
	char text[32], more[64] = "";
	uint64_t bytes = 0;

	for (size_t i = 0; i < fds->n; i++) {
		n += taken[i] && !there[i];
		n_there += taken[i] && there[i];
		bytes += taken[i] && !there[i] && !fds->items[i].again ? fds->items[i].size : 0;
	}
	if (n + n_there == 0)
		return;
	if (n_there > 0)
		snprintf(more, sizeof(more), "; %zu %s there already", n_there,
			 n_there == 1 ? "was" : "were");
	format_bytes(bytes, text);
	restore_say(LOG_INFO, "%s: restored %zu fd%s (%s) into the fd store in %llu ms%s.",
		    restore->unit, n, n == 1 ? "" : "s", text,
		    (unsigned long long)((now_usec(CLOCK_MONOTONIC) - start) / USEC_PER_MSEC),
		    more);
}

/* What has arrived is not kept twice, whatever has failed before. */
static int forget(const struct restore *restore, const struct restore_fds *fds, bool *taken,
		  size_t *ret_n)
{
	_cleanup_(have_done) struct have have = { 0 };
	size_t n_fds = 0;
	int r;

	r = look(restore, &have);
	if (r < 0)
		return r;
	for (size_t i = 0; i < fds->n; i++)
		n_fds += fds->items[i].fd >= 0;
	*ret_n = restore_match(fds, have.fds, have.n, taken);
	return *ret_n == n_fds && !restore->owner ? restore_forget(restore, NULL)
						  : forget_some(restore, fds, taken);
}

static int push_and_forget(const struct restore *restore, struct restore_fds *fds,
			   const struct have *have, uint64_t start)
{
	_cleanup_free_ bool *there = calloc(fds->n + 1, sizeof(*there)),
			    *taken = calloc(fds->n + 1, sizeof(*taken));
	size_t n_lost, n_taken = 0;
	int pushed, r;

	if (!there || !taken)
		return -ENOMEM;
	n_lost = say_lost(restore, fds);
	if (n_lost == fds->n)
		return n_lost > 0 ? -EIO : 0;
	(void)restore_separate(fds);
	(void)restore_match(fds, have->fds, have->n, there);
	pushed = push_all(restore, fds, there);
	r = forget(restore, fds, taken, &n_taken);
	say_done(restore, fds, there, taken, start);
	if (pushed < 0 || r < 0)
		return pushed < 0 ? pushed : r;
	return n_taken < fds->n ? -EIO : 0;
}

/* How long the claim may take, of which PID 1 is told: it would end the start otherwise. */
static uint64_t claim_timeout(const struct restore_listed *listed)
{
	uint64_t usec =
		CLAIM_TIMEOUT + MIN2(listed->bytes / CLAIM_RATE, (uint64_t)3600) * USEC_PER_SEC;

	usec = MIN2(usec, (uint64_t)CLAIM_LONGEST);
	restore_notify("EXTEND_TIMEOUT_USEC=%llu",
		       (unsigned long long)(usec + RESTORE_LOOK_TIMEOUT + AFTER_USEC));
	return usec;
}

static int restore_unit(const struct restore *restore, uint64_t start)
{
	_cleanup_(restore_listed_done) struct restore_listed listed = { 0 };
	_cleanup_(restore_fds_done) struct restore_fds fds = { 0 };
	_cleanup_(have_done) struct have have = { 0 };
	int r;

	/* PID 1 would end the start. It only ever makes the time longer. */
	restore_notify("EXTEND_TIMEOUT_USEC=%llu",
		       (unsigned long long)(RESTORE_PATIENCE + RESTORE_LOOK_TIMEOUT + AFTER_USEC));
	r = restore_list(restore, &listed);
	/* luod also says so when it has not seen yet what the kernel has. Claim tells them apart.
	 */
	if (restore->owner && (r == -ENOENT || (r == 0 && listed.n == 0)))
		return 0;
	if (r == 0 || r == -ENOENT)
		r = look(restore, &have);
	if (r < 0)
		return r;
	if (!has_room(restore, &listed, &have))
		return -EXFULL;
	r = restore_claim(restore, &listed, claim_timeout(&listed), &fds);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return push_and_forget(restore, &fds, &have, start);
}

int restore_run(const struct restore *restore)
{
	uint64_t start = now_usec(CLOCK_MONOTONIC);
	int r = 0;

	if (is_listed(restore))
		r = restore_unit(restore, start);
	/* On every way out, or other helpers of this unit could speak for it until its next start.
	 */
	if (restore->notify_access)
		restore_notify("NOTIFYACCESS=%s", restore->notify_access);
	if (r < 0 && restore->required)
		restore_say(
			LOG_ERR,
			"%s is not started without what it had (X-LUO-Restore=required). To start it nevertheless: luoctl drop %s",
			restore->unit, restore->unit);
	return r < 0;
}
