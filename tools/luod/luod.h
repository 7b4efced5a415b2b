/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LUOD_LUOD_H
#define LUOD_LUOD_H

/*
 * The whole of luod: one process, one loop, one struct.
 *
 * The order that makes a kill harmless is always the same:
 *
 *   an fd comes    push it to the keeper, append the record, then tell the sender that it is safe
 *   an fd goes     append the record, drop it at the keeper, then answer
 *
 * So after a kill the log is right: an fd at the keeper that it does not know was never
 * acknowledged, or was deleted. vault.c does this for entries; nobody else writes to the stores.
 */

#include <systemd/sd-event.h>

#include <luo/handover.h>
#include <luo/inspect.h>
#include <luo/session.h>

#include "tools/luod/identity.h"
#include "tools/luod/keeper.h"
#include "common/util.h"
#include "common/log.h"
#include "tools/luod/options.h"
#include "tools/luod/state.h"

struct server;

/* The running side of a registration in the state. */
struct watcher {
	struct luod *luod;
	pid_t pid;
	uint64_t start;
	int pidfd;
	uint64_t inode; /* of the pidfd; 0: it has none of its own */
	bool named;     /* by MAINPID=, it did not come itself */
	sd_event_source *source;
	struct watcher *next; /* which is older */
};

/* A session that came in, as the keeper knows it. */
struct kept_session {
	uint64_t number; /* "i<number>" */
	int fd;          /* of a stranger, which is held and not looked into; else -EBADF */
	char *name;
};

/* A commit that stands. */
struct outgoing {
	int *fds; /* the main session first */
	size_t n;
	int mapping_fd;         /* a copy of the mapping, in a memfd; < 0 after a restart */
	int manager_mapping_fd; /* of PID 1's session */
	bool handed_over;       /* PID 1 will bring them into the next kernel */
	uint64_t first;         /* then: number of the first of them, "i<number>" */
};

struct luod {
	struct options options;
	sd_event *event;
	struct keeper keeper;
	struct state state;
	struct state_log log;
	uint64_t log_compact_at; /* bytes */
	bool log_broken;         /* writing failed: nothing can be promised any more */
	sd_event_source *compact_source;
	sd_event_source *trim_source;

	struct luo_incoming *incoming; /* holdings; NULL: nothing came in, or it is finished */
	/* Others that came in: not understood, and held; or understood, and next in the row. */
	struct luo_incoming *waiting[3];
	/* Of the memory limit that a claim has failed at. */
	struct luo_memory_room room;
	struct kept_session *sessions; /* what came in, all of it: names with the keeper */
	size_t n_sessions;
	enum luo_support support;
	int look_error; /* < 0: why what came in could not be looked for yet */
	sd_event_source *look_source;
	unsigned manager_version;        /* of PID 1; 0: it is not systemd */
	sd_event_source *publish_source; /* the list of units may have changed */
	char *published;
	char **problems;
	size_t n_problems;

	struct outgoing outgoing;
	struct watcher *watchers;

	int notify_fd;
	sd_event_source *notify_source;
	int varlink_fd;
	struct server *server;
};

/* The session that PID 1 makes where it hands its fd stores over itself (systemd 261). */
#define MANAGER_SESSION "systemd"

/* ---- luod.c: setting it up ---- */

int luod_run(const struct options *options);
/* Shown by Status until luod ends, and logged. */
void luod_problem(struct luod *l, const char *format, ...) _printf_(2, 3);
uint64_t now_realtime(void);

/* ---- recover.c: what the keeper gives back ---- */

int recover(struct luod *l);

/* ---- sockets.c ---- */

int sockets_open(struct luod *l, struct kept *kept, size_t n);
void sockets_close(struct luod *l);

/* ---- journal.c: the state log at work ---- */

/* Writes a record; < 0: it is not safe, and the caller undoes what it was for. */
int journal(struct luod *l, struct json_writer *w);
/* The same, where nothing can be undone: a failure is a problem that is reported. */
void journal_must(struct luod *l, struct json_writer *w);
int journal_start(struct luod *l);
int journal_compact(struct luod *l);

/* ---- vault.c: entries come and go ---- */

enum vault_add_result { VAULT_ADDED = 0, VAULT_EXISTED = 1 };
/*
 * Stores @fd, which is taken over in any case. When it returns >= 0 the fd is safe, if
 * keeper_settle() is called before anybody is told.
 *  -EINVAL bad name; -EDQUOT the unit is full; -ENOSPC luod is full; others: from keeper or log
 */
int vault_add_fd(struct luod *l, struct luo_unit *unit, const char *name, int fd, bool poll);
/* The same for what PID 1 has had, which has counted it already: only luod can be full. */
int vault_add_manager_fd(struct luod *l, struct luo_unit *unit, const char *name, int fd,
			 bool poll);
/* The unit in the store, made and recorded if it is not there. */
int vault_unit(struct luod *l, const char *name, struct luo_unit **ret);
/* As above, with what is known of it from the previous kernel. */
int vault_unit_like(struct luod *l, const char *name, const struct luo_unit *like,
		    struct luo_unit **ret);
/* The same in held: for a holding that a commit needs here. */
int vault_unit_held(struct luod *l, const struct luo_unit *like, struct luo_unit **ret);
/* Forgets it if nothing is known of it but its name. */
void vault_unit_release(struct luod *l, const char *name);
/* Records a change to cgroup, limit or status. */
int vault_unit_changed(struct luod *l, struct luo_unit *unit);
/* Frees an entry of stored, held or lost. */
int vault_remove(struct luod *l, struct luo_entry *entry);
/* Entries that were put into a unit of the store by somebody else are made safe. */
int vault_secure_unit(struct luod *l, struct luo_unit *unit);
/* Moves a held entry to a unit of the store. */
int vault_move(struct luod *l, struct luo_entry *entry, struct luo_unit *to);
/*
 * Moves an entry of the incoming store, which has its fd by now, to a unit of stored or held.
 * @place: where to
 */
int vault_adopt(struct luod *l, struct luo_entry *entry, struct luo_unit *to,
		enum record_place place);
/* The same for one that failed for ever: to lost. */
int vault_adopt_lost(struct luod *l, struct luo_entry *entry);
/* Removes an entry on POLLHUP and POLLERR, where it can be polled. */
void vault_watch(struct luod *l, struct luo_entry *entry);
void vault_unwatch(struct luo_entry *entry);
unsigned unit_max(const struct luod *l, const struct luo_unit *unit);
bool unit_is_known(const struct luod *l, const char *name);

/* ---- holdings.c, holdings-look.c, holdings-take.c: what came from the previous kernel ---- */

/* At the start: retrieves what came in, where that was not done; if it cannot be, later. */
void holdings_look_start(struct luod *l);
/*
 * The same, if it still has to be done: 0 if it is done, or there is nothing that could be.
 * Negative: it is not known what came in; it is tried again.
 */
int holdings_look(struct luod *l, uint64_t timeout_usec);
/* Takes over session fds with their numbers; they are held, whatever is in them. */
void holdings_adopt(struct luod *l, const struct kept_session *sessions, size_t n);
void holdings_free(struct luod *l);
/*
 * The name of a commit where the usual one is taken by a session that is held and carried along
 * untouched: both are looked for after the kexec. -ENAMETOOLONG.
 */
int holdings_other_name(const struct luod *l, char name[LUO_SESSION_NAME_MAX + 1]);
/* Something that came in and is not understood; NULL past the end. */
struct luo_incoming *holdings_unreadable(const struct luod *l, size_t i);
/* The store of what still lies in the kernel; NULL if nothing does. */
struct luo_store *holdings_store(const struct luod *l);
/*
 * Claims everything of @unit (NULL name: all names) for @to. The first error that can be tried
 * again is returned; what is lost for ever becomes a lost entry.
 */
/* @claimer: whose cgroup pays for the memory; NULL: ours */
int holdings_claim(struct luod *l, const char *unit, const char *name, struct luo_unit *to,
		   const struct peer *claimer);
/* An fd of what lies in the kernel, which stays a holding. The opener pays, as for a claim. */
int holdings_open(struct luod *l, struct luo_entry *entry, const struct peer *opener, int *ret_fd);
/* What still lies in the kernel becomes another unit's, without being touched. */
int holdings_move(struct luod *l, struct luo_entry *entry, const char *unit);
/* Restores everything that lies in the kernel into held, and finishes the session. */
int holdings_restore_all(struct luod *l);
int holdings_drop(struct luod *l, struct luo_entry *entry, uint64_t *ret_bytes);
/* Out of the store of what lies in the kernel, with its unit if that is empty then. */
void holdings_remove_entry(struct luo_entry *entry);
/* If nothing is left in the kernel: the session is finished. */
void holdings_settle(struct luod *l);

/* ---- publish.c: the list of units that the generator and the restore helper read ---- */

/* At the end of the turn of the loop; a failure is only logged. */
void publish_later(struct luod *l);
/* Before somebody is told, who may run the generator at once. */
void publish_now(struct luod *l);
int publish_start(struct luod *l);

/* ---- last-shutdown.c ---- */

/* What is known of how the last shutdown went, LastShutdown of io.luo; NULL if nothing. */
struct json_object *last_shutdown(const struct luod *l);
/* When the shutdown that is going on began; zeroes if it is not known. */
struct luo_timestamp shutdown_start(const struct luod *l);
/*
 * Live updates since the last cold boot. A mapping has the number of the kernel that wrote it, and
 * whoever reads it adds the one that has just been: so does systemd 262.
 */
uint64_t kexec_count(const struct luod *l);
/* When PID 1 had stopped all units: luo-harvest writes it down at its end. */
struct luo_timestamp shutdown_finish(const struct luod *l);

/* ---- retrieve.c: the ioctls of it; also used by the supervisor ---- */

#define RETRIEVE_TIMEOUT_USEC (10 * USEC_PER_SEC)
/* PID 1 is a systemd that hands its fd stores over itself. */
bool manager_is_native(void);
/*
 * Retrieves the sessions @name and "@name-live", and that of PID 1 where PID 1 does not do that
 * itself, and those that their mappings name. Each fd is
 * handed to @callback at once, which owns it: until it is with the keeper, a kill would free what
 * is in it. 0 if there was none, else the number.
 * @timeout_usec: how long to wait for the device; 0: not at all, and nothing is said about it
 */
int retrieve_sessions(const char *name, uint64_t timeout_usec, luo_incoming_session_fn callback,
		      void *userdata);

/* ---- registration.c ---- */

/* The caller himself. -ENOSPC: a unit has so many, or all of them. */
int registration_add_caller(struct luod *l, const char *unit, const struct peer *caller);
/* Named by another: the one that was named longest ago goes if there are too many. */
int registration_add(struct luod *l, const char *unit, const struct peer *process);
/* After a restart: those whose processes are still the same. */
void registrations_resume(struct luod *l);
void registrations_free(struct luod *l);

/* ---- resolve.c: which unit is it? ---- */

/* -ESRCH if there is no telling; -ESTALE if the process is gone. */
int resolve_unit(struct luod *l, const struct peer *peer, char **ret_unit, char **ret_cgroup);

/* ---- notify.c ---- */

int notify_start(struct luod *l);

/* ---- commit.c ---- */

struct commit_request {
	const char *session_name;
	bool dry_run;
	unsigned max_files;
	/* PID 1 takes over what its store of ours has: only the sessions stay in it. */
	bool hand_over;
};
/* What is reported; texts are malloc'd. */
struct commit_report {
	char session_name[LUO_SESSION_NAME_MAX + 1]; /* the one that was really used */
	struct luo_commit_summary summary;
	bool managed; /* something of it is PID 1's */
	size_t sessions;
	struct json_object *results;
	char *text;            /* on failure: a sentence */
	char *note;            /* a sentence on what was done otherwise than usual; may be NULL */
	uint64_t needed, room; /* of -EDQUOT */
	pid_t pid;             /* of -EBUSY: who has the device; 0 if that is not it */
	char *process;
};
void commit_report_done(struct commit_report *report);
int commit_make(struct luod *l, const struct commit_request *request, struct commit_report *ret);
/* 1 if there was one, 0 if not. */
int commit_abort(struct luod *l);
void commit_forget(struct luod *l);
/* The mapping as a commit would write it now; to be freed. */
int mapping_preview(struct luod *l, char **ret_text);

/* ---- varlink-server.c ---- */

int server_start(struct luod *l);
void server_free(struct server *server);
/* To everybody who monitors. Anything but the event may be NULL. */
void monitor_emit(struct luod *l, const char *event, const char *unit, const char *name,
		  const char *text);

/* ---- supervise.c ---- */

int supervise(const struct options *options, int argc, char *argv[]);

#endif
