/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * Decides whether an entry of PID 1 would survive a kexec, by what the fd is, never by its name.
 * For a socket or a pipe, PID 1's description is enough to know that it would not.
 */

#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "manager/internal.h"
#include "common/util.h"

#define SESSION_PATH "anon_inode:[luo_session] "

/* PID 1 from version 261 on, and luod: a commit would find its name taken. */
static bool session_is_reserved(const char *name)
{
	static const char *const reserved[] = { "systemd", "luod", "luo-index" };

	for (size_t i = 0; i < ELEMENTSOF(reserved); i++)
		if (streq(name, reserved[i]))
			return true;
	return false;
}

static void _printf_(2, 3) set_reason(struct luo_manager_verdict *v, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vsnprintf(v->reason, sizeof(v->reason), format, ap);
	va_end(ap);
	v->survives = false;
}

/* By what PID 1 says. LUO_KIND_UNKNOWN: it has to be looked at. */
static enum luo_kind kind_of_entry(const struct luo_manager_fd *e)
{
	size_t n = strlen(e->path);

	switch (e->mode & S_IFMT) {
	case S_IFSOCK:
		return LUO_KIND_SOCKET;
	case S_IFIFO:
		return LUO_KIND_PIPE;
	case S_IFDIR:
		return LUO_KIND_DIRECTORY;
	case S_IFCHR:
		return LUO_KIND_CHAR_DEVICE;
	case S_IFBLK:
		return LUO_KIND_BLOCK_DEVICE;
	}
	if (startswith(e->path, SESSION_PATH))
		return LUO_KIND_UNKNOWN;
	if (startswith(e->path, "anon_inode:"))
		return streq(e->path, "anon_inode:[eventfd]") ? LUO_KIND_EVENTFD
							      : LUO_KIND_ANON_INODE;
	/* It has a name: whatever file system it is on, it cannot be preserved. */
	if (n < strlen(" (deleted)") || !streq(e->path + n - strlen(" (deleted)"), " (deleted)"))
		return LUO_KIND_REGULAR;
	return LUO_KIND_UNKNOWN;
}

static void judge_session(struct luo_manager_verdict *v, const struct luo_fd_info *info)
{
	snprintf(v->session, sizeof(v->session), "%.63s", info->name);
	if (session_is_reserved(v->session))
		set_reason(v, "a session must not be called \"%s\"", v->session);
	else
		v->survives = true;
}

static void judge_copy(struct luo_manager_verdict *v, int fd)
{
	struct luo_fd_info info = { .struct_size = sizeof(info) };
	int r = luo_fd_inspect(fd, &info);

	if (r < 0) {
		set_reason(v, "cannot be looked at: %s", strerror(-r));
		return;
	}
	v->kind = info.kind;
	v->has_size = S_ISREG(info.mode);
	v->size = v->has_size ? info.size : 0;
	v->survives = info.preservable;
	if (info.kind == LUO_KIND_SESSION)
		judge_session(v, &info);
	else if (!info.preservable)
		set_reason(v, "%s", info.reason);
}

static void judge_unit(struct luo_manager_verdict *v, const struct luo_manager_unit *unit)
{
	const char *text = unit->preserve_text ?: "no";

	if (streq(unit->name, "luod.service")) {
		set_reason(v, "luod's own copy of what it holds");
		v->expected = false;
	} else if (startswith(unit->name, "systemd-journald")) {
		/*
		 * The connections of its clients. The clients have exited, so these are not missed.
		 */
		v->expected = false;
	} else if (!unit->preserve) {
		v->expected = false;
		if (streq(text, "on-success"))
			set_reason(v,
				   "FileDescriptorStorePreserve=on-success, and its result is %s",
				   unit->result ?: "unknown");
		else
			set_reason(v, "FileDescriptorStorePreserve=%s", text);
	}
}

/* An example of an fd of that kind is not needed to know why it is none that travels. */
static const char *reason_of(enum luo_kind kind)
{
	switch (kind) {
	case LUO_KIND_SOCKET:
		return "sockets cannot be preserved";
	case LUO_KIND_PIPE:
		return "pipes cannot be preserved";
	case LUO_KIND_EVENTFD:
		return "eventfds cannot be preserved";
	case LUO_KIND_DIRECTORY:
		return "directories cannot be preserved";
	case LUO_KIND_CHAR_DEVICE:
	case LUO_KIND_BLOCK_DEVICE:
		return "devices cannot be preserved";
	case LUO_KIND_REGULAR:
		return "a file that has a name; it can be opened again";
	default:
		return "this kind of kernel object cannot be preserved";
	}
}

void luo_manager_judge(struct luo_manager_table *table, const struct luo_manager_unit *unit,
		       const struct luo_manager_fd *entry, struct luo_manager_verdict *ret,
		       int *ret_fd)
{
	struct luo_manager_verdict v = { .expected = true, .kind = kind_of_entry(entry) };
	_cleanup_close_ int fd = -EBADF;
	int r;

	if (v.kind != LUO_KIND_UNKNOWN) {
		set_reason(&v, "%s", reason_of(v.kind));
	} else if (!table) {
		v.survives = true;
		if (startswith(entry->path, SESSION_PATH)) {
			v.kind = LUO_KIND_SESSION;
			snprintf(v.session, sizeof(v.session), "%.63s",
				 entry->path + strlen(SESSION_PATH));
		} else {
			v.kind = startswith(entry->path, "/memfd:") ? LUO_KIND_MEMFD
								    : LUO_KIND_SHMEM_UNLINKED;
		}
	} else {
		r = luo_manager_table_fetch(table, entry, &fd);
		if (r < 0)
			set_reason(&v, "%s",
				   r == -ENOENT  ? "PID 1 does not have it open any more"
				   : r == -EPERM ? "not allowed to copy it out of PID 1"
						 : strerror(-r));
		else
			judge_copy(&v, fd);
	}
	judge_unit(&v, unit);
	*ret = v;
	*ret_fd = v.survives ? TAKE_FD(fd) : -EBADF;
}
