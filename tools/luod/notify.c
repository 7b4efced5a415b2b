/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * A datagram takes effect once, even if luod is killed. luod peeks at it first, which gives copies
 * of its fds; does what it asks for, and makes that safe; and only then takes it from the queue.
 * After a kill in between, the next luod sees the datagram again, and everything that it asks for
 * can be done twice. The BARRIER=1 of a sender depends on an fd in the queued datagram, so it opens
 * exactly when the datagram is taken.
 */

#include "tools/luod/notify.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <luo/store.h>

#include "common/log.h"
#include "common/util.h"
#include "tools/luod/close-foreign.h"
#include "tools/luod/identity.h"
#include "tools/luod/luod.h"
#include "tools/luod/monitor.h"
#include "tools/luod/notify-parse.h"
#include "tools/luod/problem.h"
#include "tools/luod/registration.h"
#include "tools/luod/resolve.h"
#include "tools/luod/state.h"
#include "tools/luod/vault.h"

/* Linux 6.5; the headers of the build host may be older. */
#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif

#define FDS_MAX     253
#define PER_WAKEUP  16
#define CRASHES_MAX 3

struct datagram {
	char text[NOTIFY_SIZE_MAX + 1];
	size_t size;
	bool truncated, fds_truncated, have_peer, have_pidfd;
	uint64_t sent; /* CLOCK_BOOTTIME */
	struct peer peer;
	int fds[FDS_MAX];
	size_t n_fds;
};

/* The kernel stamps datagrams with the wall clock. If that was set since, the time is wrong. */
static uint64_t to_boottime(const struct timespec *realtime)
{
	uint64_t then = (uint64_t)realtime->tv_sec * USEC_PER_SEC +
			(uint64_t)realtime->tv_nsec / NSEC_PER_USEC;
	uint64_t now = now_usec(CLOCK_REALTIME), boottime = now_usec(CLOCK_BOOTTIME);
	uint64_t age = now > then ? now - then : 0;

	return boottime > age ? boottime - age : 0;
}

static void take_control(struct datagram *d, struct cmsghdr *c)
{
	if (c->cmsg_level != SOL_SOCKET)
		return;
	if (c->cmsg_type == SCM_CREDENTIALS && c->cmsg_len == CMSG_LEN(sizeof(struct ucred))) {
		struct ucred ucred;

		memcpy(&ucred, CMSG_DATA(c), sizeof(ucred));
		d->peer.pid = ucred.pid;
		d->peer.uid = ucred.uid;
		d->have_peer = true;
	} else if (c->cmsg_type == SCM_PIDFD && c->cmsg_len == CMSG_LEN(sizeof(int))) {
		memcpy(&d->peer.pidfd, CMSG_DATA(c), sizeof(int));
		d->have_pidfd = true;
	} else if (c->cmsg_type == SCM_TIMESTAMPNS &&
		   c->cmsg_len == CMSG_LEN(sizeof(struct timespec))) {
		struct timespec sent;

		memcpy(&sent, CMSG_DATA(c), sizeof(sent));
		d->sent = to_boottime(&sent);
	} else if (c->cmsg_type == SCM_RIGHTS) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (d->n_fds < FDS_MAX)
				d->fds[d->n_fds++] = fd;
			else
				close_foreign(fd);
		}
	}
}

/* 1: there is one; 0: none. */
static int peek_datagram(int fd, struct datagram *d)
{
	union {
		struct cmsghdr header;
		char buffer[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int)) +
			    CMSG_SPACE(sizeof(struct timespec)) +
			    CMSG_SPACE(sizeof(int) * FDS_MAX)];
	} control;
	struct iovec iov = { .iov_base = d->text, .iov_len = NOTIFY_SIZE_MAX };
	struct msghdr mh = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	*d = (struct datagram){ .peer.pidfd = -EBADF };
	n = recvmsg(fd, &mh, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_TRUNC);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&mh); c; c = CMSG_NXTHDR(&mh, c))
		take_control(d, c);
	d->truncated = n > NOTIFY_SIZE_MAX;
	d->fds_truncated = mh.msg_flags & MSG_CTRUNC;
	d->size = MIN2((size_t)n, (size_t)NOTIFY_SIZE_MAX);
	return 1;
}

/*
 * Takes the datagram from the queue without its fds, so the kernel closes them. The caller closes
 * its copies later: the last close of a foreign fd may hang.
 */
static void dequeue_datagram(int fd)
{
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (recvmsg(fd, &mh, MSG_DONTWAIT) < 0)
		log_warning("Cannot take a datagram from the queue of the notify socket: %s.",
			    strerror(errno));
}

/* ---- what it asks for ------------------------------------------------------------------------ */

static void report_refused(struct luod *l, const char *unit, const char *name, int error)
{
	char text[128];

	if (error == -EDQUOT)
		snprintf(text, sizeof(text), "the store of the unit is full");
	else if (error == -ENOSPC)
		snprintf(text, sizeof(text), "luod is full (--fdstore-max-total=%u)",
			 l->options.fdstore_max_total);
	else if (error == -EINVAL)
		snprintf(text, sizeof(text), "the name is invalid");
	else
		snprintf(text, sizeof(text), "%s", strerror(-error));
	log_limited(LOG_WARNING, "%s: cannot store \"%s\": %s. What was stored before stays.", unit,
		    name, text);
	monitor_emit(l, "refused", unit, luo_fdname_is_valid(name) ? name : NULL, text);
}

static void store_fds(struct luod *l, struct luo_unit *unit, const struct notify_message *m,
		      struct datagram *d)
{
	const char *name = m->fdname ? m->fdname : "stored";

	if (d->n_fds == 0)
		log_limited(LOG_WARNING, "%s: FDSTORE=1 came without an fd.", unit->name);
	for (size_t i = 0; i < d->n_fds; i++) {
		int fd = fcntl(d->fds[i], F_DUPFD_CLOEXEC, 0);
		int r = fd < 0 ? -errno : vault_add_fd(l, unit, name, fd, !m->no_poll);

		/* The entry has a copy, so this close is not the last one. */
		if (r >= 0)
			safe_close(TAKE_FD(d->fds[i]));
		if (r < 0)
			report_refused(l, unit->name, name, r);
		else
			log_debug("%s: \"%s\" is %s.", unit->name, name,
				  r == VAULT_ADDED ? "stored" : "stored already");
	}
}

static void remove_fds(struct luod *l, struct luo_unit *unit, const char *name)
{
	struct luo_entry *entry;

	while ((entry = luo_unit_find_entry(unit, name, 0))) {
		int r = vault_remove(l, entry);

		if (r < 0) {
			log_warning("%s: cannot remove \"%s\": %s.", unit->name, name,
				    strerror(-r));
			return;
		}
	}
}

static int set_status(struct luo_unit *unit, const struct notify_message *m)
{
	struct state_unit *data = state_unit_data(unit);

	if (!data)
		return -ENOMEM;
	if (m->ready) {
		data->ready = true;
		data->stopping = false;
	}
	if (m->stopping)
		data->stopping = true;
	if (m->status) {
		free(data->status);
		data->status = m->status[0] ? strdup(m->status) : NULL;
	}
	return 0;
}

static void note_status(struct luod *l, struct luo_unit *unit, const struct notify_message *m)
{
	if (!m->ready && !m->stopping && !m->status)
		return;
	if (set_status(unit, m) < 0 || vault_unit_changed(l, unit) < 0)
		return;
	if (m->ready)
		monitor_emit(l, "ready", unit->name, NULL, NULL);
	if (m->status || m->stopping)
		monitor_emit(l, "status", unit->name, NULL, m->status ? m->status : "stopping");
}

/* Another process of the same unit is the main process from now on; root may name any process. */
static void set_mainpid(struct luod *l, const char *unit, const struct datagram *d, pid_t pid)
{
	struct peer peer = { .pid = pid, .pidfd = pidfd_open_process(pid) };
	_cleanup_free_ char *its_unit = NULL;
	int r = peer.pidfd < 0 ? peer.pidfd : 0;

	if (r >= 0 && !peer_is_trusted(&d->peer)) {
		/* The process must belong to the unit, as if it had sent the message itself. */
		r = proc_uid(pid, &peer.uid);
		if (r >= 0)
			r = resolve_unit(l, &peer, &its_unit, NULL);
		if (r >= 0 && !streq(its_unit, unit))
			r = -EPERM;
	}
	if (r >= 0)
		r = registration_add(l, unit, &peer);
	if (r < 0)
		log_limited(LOG_WARNING, "%s: MAINPID=%d is refused: %s.", unit, (int)pid,
			    strerror(-r));
	peer_done(&peer);
}

static void apply_message(struct luod *l, const char *unit_name, const struct notify_message *m,
			  struct datagram *d)
{
	struct luo_unit *unit;
	int r;

	if (m->bad > 0)
		log_limited(LOG_WARNING, "%s: its notification has %u invalid %s.", unit_name,
			    m->bad, plural(m->bad, "assignment", "assignments"));
	if (m->mainpid > 0)
		set_mainpid(l, unit_name, d, m->mainpid);
	if (!m->fdstore && !m->fdstore_remove && !m->ready && !m->stopping && !m->status)
		return;
	r = vault_unit(l, unit_name, &unit);
	if (r < 0) {
		log_limited(LOG_WARNING, "Cannot make a store for %s: %s. Dropping %zu %s.",
			    unit_name, strerror(-r), d->n_fds, plural(d->n_fds, "fd", "fds"));
		return;
	}
	if (m->fdstore_remove) {
		if (m->fdname)
			remove_fds(l, unit, m->fdname);
		else
			log_limited(LOG_WARNING, "%s: FDSTOREREMOVE=1 came without FDNAME=.",
				    unit->name);
	} else if (m->fdstore)
		store_fds(l, unit, m, d);
	note_status(l, unit, m);
	vault_unit_release(l, unit_name);
}

static void handle_datagram(struct luod *l, struct datagram *d)
{
	_cleanup_free_ char *unit = NULL;
	struct notify_message m;
	int r;

	if (!d->have_peer || d->truncated || d->fds_truncated) {
		log_limited(LOG_ERR, "Dropping a notification of process %d with %zu %s: %s.",
			    (int)d->peer.pid, d->n_fds, plural(d->n_fds, "fd", "fds"),
			    !d->have_peer  ? "its sender is not known"
			    : d->truncated ? "it is too long"
					   : "not all of its fds could be received");
		return;
	}
	r = notify_parse(d->text, d->size, &m);
	if (r < 0) {
		log_limited(LOG_WARNING, "Dropping a notification of process %d: not valid text.",
			    (int)d->peer.pid);
		return;
	}
	/* A barrier is about the queue alone: its sender need not be known. */
	if (m.barrier && !m.fdstore && !m.fdstore_remove && !m.ready && !m.status && !m.stopping &&
	    m.mainpid == 0) {
		if (d->n_fds != 1)
			log_limited(LOG_WARNING,
				    "A barrier of process %d came with %zu %s, not with 1.",
				    (int)d->peer.pid, d->n_fds, plural(d->n_fds, "fd", "fds"));
		return;
	}
	if (!d->have_pidfd)
		d->peer.pidfd = pidfd_open_sender(l->notify_fd, d->peer.pid, d->sent);
	r = resolve_unit(l, &d->peer, &unit, NULL);
	if (r < 0) {
		log_limited(
			LOG_WARNING,
			"Dropping a notification of process %d (uid %u) with %zu %s: %s.",
			(int)d->peer.pid, (unsigned)d->peer.uid, d->n_fds,
			plural(d->n_fds, "fd", "fds"),
			r == -ESTALE
				? "the process is gone; it should wait with sd_notify_barrier() before it exits"
			: r == -ESRCH
				? "its unit is not known; start it with luo-run, or in a cgroup of its own"
				: strerror(-r));
		return;
	}
	apply_message(l, unit, &m, d);
}

/* 1: one was handled; 0: there is none. */
static int handle_one(struct luod *l)
{
	struct datagram d;
	int r;

	r = peek_datagram(l->notify_fd, &d);
	if (r <= 0)
		return r;
	handle_datagram(l, &d);
	dequeue_datagram(l->notify_fd);
	close_foreign_many(d.fds, d.n_fds);
	peer_done(&d.peer);
	return 1;
}

static int on_notify(sd_event_source *source, int fd, uint32_t revents, void *userdata)
{
	struct luod *l = userdata;

	for (int i = 0; i < PER_WAKEUP; i++) {
		int r = handle_one(l);

		if (r < 0)
			log_limited(LOG_ERR, "Cannot read from the notify socket: %s.",
				    strerror(-r));
		if (r <= 0)
			break;
	}
	(void)sd_event_source_set_enabled(l->trim_source, SD_EVENT_ONESHOT);
	return 0;
}

/*
 * A datagram that makes luod crash would do so after each restart. The supervisor counts crashes;
 * after the third in a row, luod drops the first datagram in the queue unread.
 */
static void drop_crashing_datagram(struct luod *l)
{
	const char *crashes = getenv("LUOD_CRASHES");
	struct datagram d;

	if (!crashes || atoi(crashes) < CRASHES_MAX)
		return;
	problem_report(
		l,
		"luod crashed %s times in a row: dropping the first notification in the queue unread.",
		crashes);
	if (peek_datagram(l->notify_fd, &d) <= 0)
		return;
	dequeue_datagram(l->notify_fd);
	close_foreign_many(d.fds, d.n_fds);
	peer_done(&d.peer);
}

int notify_start(struct luod *l)
{
	int r;

	drop_crashing_datagram(l);

	/*
	 * The last luod may have handled the first datagram before it was killed. It must be
	 * repeated before anything else changes.
	 */
	r = handle_one(l);
	if (r < 0)
		log_error("Cannot read from the notify socket: %s.", strerror(-r));
	return sd_event_add_io(l->event, &l->notify_source, l->notify_fd, EPOLLIN, on_notify, l);
}
