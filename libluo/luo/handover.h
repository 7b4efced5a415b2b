/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUO_HANDOVER_H
#define LUO_HANDOVER_H

/*
 * Both directions of a live update in one place.
 *
 *   before the kexec   commit:   stores -> session(s) with a mapping at token 0
 *   after it           incoming: session(s) -> a store of lazy entries, taken out one by one
 *
 * A commit preserves each distinct file once, however many units and names hold it, writes the
 * mapping last, and leaves nothing behind if it fails. What it made lives in session fds: they must
 * stay open until the kexec, closing them undoes everything.
 *
 * An incoming session is never finished while anything unclaimed is in it, and never at all if its
 * mapping cannot be understood: closing it would free memory for good.
 *
 * Functions return 0 on success and a negative errno otherwise; outputs are written on success.
 */

#include <luo/mapping.h>
#include <luo/store.h>

#ifdef __cplusplus
extern "C" {
#endif

/** The session that luod uses where systemd has none of its own. */
#define LUO_DEFAULT_SESSION "luod"

/* ---- commit ---------------------------------------------------------------------------------- */

/** How one entry fared. */
enum luo_result {
	LUO_RESULT_PRESERVED,
	LUO_RESULT_COPIED,  /**< travels as a copy: what is written after the commit is not carried
			     */
	LUO_RESULT_ALIAS,   /**< the same file as another entry, which was preserved */
	LUO_RESULT_SESSION, /**< a LUO session of its own, goes along by itself */
	LUO_RESULT_NOT_PRESERVABLE, /**< a kind that the kernel cannot preserve */
	LUO_RESULT_FAILED,          /**< the kernel, or our own look before, said no: see error */
};

/** The report on one entry. */
struct luo_commit_result {
	size_t struct_size; /**< sizeof of this struct, set by the caller; see luo/luo.h */
	const struct luo_entry *entry; /**< valid as long as the store is not changed */
	enum luo_result result;
	int error;          /**< negative errno of LUO_RESULT_FAILED, else 0 */
	const char *reason; /**< a sentence, static or the report's; NULL if preserved */
	const struct luo_entry *alias_of;
	uint64_t bytes; /**< preserved for this entry; 0 for an alias */
	uint64_t usec;  /**< time in the kernel for this entry, microseconds */
};

/** How to commit. Zero-initialise it; what is zero is the default. */
struct luo_commit_options {
	size_t struct_size;       /**< sizeof of this struct, set by the caller; see luo/luo.h */
	const char *session_name; /**< NULL: LUO_DEFAULT_SESSION */
	/** Files in one session before the next is begun; 0: 128, which every kernel takes and
	 * which is fast on those that take more. Further sessions are "NAME.1", "NAME.2"... */
	unsigned max_files_per_session;
	unsigned flags;                        /**< enum luo_commit_flags */
	uint64_t device_timeout_usec;          /**< how long to wait for /dev/liveupdate */
	const struct luo_mapping_state *state; /**< written into the mapping; may be NULL */
	/** The mapping that came in, if any: its unknown keys at the top level and in "state" go
	 * along. NULL for none. */
	const struct luo_mapping *previous;
	/** Which entries go into this commit; the others are passed over, and are not in the
	 * report. NULL: all of them. */
	bool (*wants)(const struct luo_entry *entry, void *userdata);
	void *userdata; /**< for @wants */
};

enum luo_commit_flags {
	LUO_COMMIT_V261 = 1 << 0, /**< write the mapping so that systemd 261 accepts it too */
	/** Never let a file travel packed: for a reader that does not know our keys. A sparse file
	 * is then filled, if memory allows. */
	LUO_COMMIT_NO_PACK = 1 << 1,
};

struct luo_commit;

/**
 * luo_commit_new() - preserve everything in some stores.
 * @stores: @n_stores of them; every entry that goes into it must have its fd. They are not changed,
 * and must not be changed or freed as long as the report is looked at
 * @ret_commit: owns the session fds
 *
 * An entry that cannot be preserved does not make the commit fail: it is in the report. Looks
 * before it preserves: a sparse file, or one that with its copy is larger than the memory that is
 * left, would get the caller killed.
 *
 *  -EINVAL   a bad session name, or an entry that has not been restored (fd < 0)
 *  -EEXIST   the session name is taken
 *  -ENODEV, -EOPNOTSUPP, -EBUSY, -EIO: see luo_device_open()
 *  -ENOMEM and others: nothing is left behind
 *
 * Since: 0.1
 */
int luo_commit_new(struct luo_store *const *stores, size_t n_stores,
		   const struct luo_commit_options *options, struct luo_commit **ret_commit);

/**
 * luo_commit_free() - closes the sessions, which undoes everything. Takes and returns NULL.
 * Since: 0.1
 */
struct luo_commit *luo_commit_free(struct luo_commit *commit);

/** luo_commit_sessions() - the session fds, still the commit's; the first is the main one. Since:
 * 0.1 */
const int *luo_commit_sessions(const struct luo_commit *commit, size_t *ret_n);

/** luo_commit_n_results() - the number of entries that were wanted. Since: 0.1 */
size_t luo_commit_n_results(const struct luo_commit *commit);

/**
 * luo_commit_result_at() - the report on one of them, in the order of the stores.
 *
 * -ENOENT past the end. Since: 0.1
 */
int luo_commit_result_at(const struct luo_commit *commit, size_t index,
			 struct luo_commit_result *ret_result);

/** luo_commit_mapping() - the text that was written at token 0, the commit's. Since: 0.1 */
const char *luo_commit_mapping(const struct luo_commit *commit, size_t *ret_size);

/** The totals of a commit. */
struct luo_commit_summary {
	size_t struct_size; /**< sizeof of this struct, set by the caller; see luo/luo.h */
	uint64_t entries;
	uint64_t preserved; /**< with copies, aliases and sessions */
	uint64_t lost;      /**< not preservable or failed */
	uint64_t bytes;
	uint64_t usec; /**< of the whole commit */
};

/** luo_commit_get_summary() - the totals. Since: 0.1 */
int luo_commit_get_summary(const struct luo_commit *commit, struct luo_commit_summary *ret_summary);

/** luo_result_to_string() - "preserved", "copied", "alias", "session", "not-preservable", "failed".
 * Since: 0.1 */
const char *luo_result_to_string(enum luo_result result);

/* ---- incoming -------------------------------------------------------------------------------- */

struct luo_incoming;

/** Gets the fd of a session that was just retrieved. The fd stays the library's. */
typedef void (*luo_incoming_session_fn)(int session_fd, void *userdata);

/**
 * luo_incoming_retrieve() - take over what the previous kernel left under a name.
 * @device_fd: from luo_device_open()
 * @name: of the main session; the mapping names the further ones
 * @on_session: called for each session as soon as it is retrieved, before its mapping is read; may
 *              be NULL. A program that can be killed hands a copy of the fd to its manager here:
 *              until then this is the only one, and the kernel frees what is in the session with it
 *
 *  -ENOENT  there is nothing
 *
 * A session whose mapping is broken, missing or too new is a success: luo_incoming_problem() then
 * says what is wrong, there is no mapping, and the session is held, together with the further
 * sessions "NAME.1", "NAME.2"... if there are any. A mapping can only name further sessions of that
 * form. Since: 0.1
 */
int luo_incoming_retrieve(int device_fd, const char *name, luo_incoming_session_fn on_session,
			  void *userdata, struct luo_incoming **ret_incoming);

/**
 * luo_incoming_adopt() - the same from session fds that somebody kept for us over a restart.
 * @session_fds: the main one first; ownership moves on success
 *
 * Since: 0.1
 */
int luo_incoming_adopt(const int *session_fds, size_t n, struct luo_incoming **ret_incoming);

/**
 * luo_incoming_free() - closes the session fds. If they are the last copies, and it was not
 * finished, what is unclaimed is freed for good. Takes and returns NULL. Since: 0.1
 */
struct luo_incoming *luo_incoming_free(struct luo_incoming *incoming);

/** luo_incoming_name() - of the main session. Since: 0.1 */
const char *luo_incoming_name(const struct luo_incoming *incoming);

/** luo_incoming_problem() - why the mapping is not understood; NULL if it is. Since: 0.1 */
const char *luo_incoming_problem(const struct luo_incoming *incoming);

/** luo_incoming_mapping() - the document; its store is the holdings. NULL if not understood. Since:
 * 0.1 */
struct luo_mapping *luo_incoming_mapping(const struct luo_incoming *incoming);

/** luo_incoming_sessions() - the session fds, still its own; the main one first. Since: 0.1 */
const int *luo_incoming_sessions(const struct luo_incoming *incoming, size_t *ret_n);

/**
 * luo_incoming_restore() - get one entry out, and put right what the kernel dropped.
 * @entry: of the mapping's store, or moved from there to another store
 *
 * After it entry->fd is set. Aliases come back as one file. Looks at the memory limits of the
 * caller's cgroup first, because a retrieve that fails is final. 0 also if it was done before.
 *
 *  -EDQUOT  no room under a memory limit; nothing was touched, may be tried again
 *  -EMFILE  may be tried again
 *  -ENOENT  the token is not in the session: final
 *  anything else is final and remembered in entry->failed
 *
 * Since: 0.1
 */
int luo_incoming_restore(struct luo_incoming *incoming, struct luo_entry *entry);

/**
 * luo_incoming_fetch() - what luo_incoming_restore() does, but gives the fd instead of storing it.
 * Since: 0.1
 */
int luo_incoming_fetch(struct luo_incoming *incoming, const struct luo_entry *entry, int *ret_fd);

/**
 * luo_incoming_finish() - finish the sessions: the kernel forgets them.
 *
 * It is the caller's word that every entry worth keeping has its fd; the kernel frees the rest.
 *
 *  -EBUSY  the mapping is not understood, or entries of it were skipped (mapping->n_issues) and
 *          luo_incoming_rescue() was not called: memory that we do not understand is not freed
 *
 * Since: 0.1
 */
int luo_incoming_finish(struct luo_incoming *incoming);

/**
 * luo_incoming_rescue() - take out what the mapping names in a way that we do not understand.
 * @to: gets an entry "SESSION.TOKEN" for each file that is in the sessions and that
 *      no entry of the mapping names
 * @ret_n: how many; may be NULL
 *
 * For a mapping of which entries were skipped. The tokens are guessed like in luo_incoming_carry().
 * After it luo_incoming_finish() is allowed. May be repeated after an error; what was rescued
 * already is in @to. -EINVAL if the mapping is not understood at all, -EDQUOT if there is no room
 * under a memory limit, -E2BIG if the document could not be looked through to its
 * end: then the session stays. Since: 0.1
 */
int luo_incoming_rescue(struct luo_incoming *incoming, struct luo_unit *to, size_t *ret_n);

/**
 * luo_incoming_carry() - take a session that is not understood along into the next kexec.
 * @device_timeout_usec: how long to wait for /dev/liveupdate
 * @ret_session_fds: @ret_n outgoing sessions of the same names; they must stay open until the
 *                   kexec. To be closed, and the array freed with free(), to undo it
 * @ret_files: how many files go along; may be NULL
 *
 * An incoming session does not travel by itself, and what is in it cannot be preserved anew while
 * it is not finished, which would free what we do not know of. So each file is copied, and keeps
 * its token: a later version of the reader finds everything where it was. Without a mapping the
 * tokens are guessed: 0 to 4095, and every number that stands in the document. What is not found
 * that way is lost with the kexec, as it would be without this.
 *
 *  -EINVAL  the mapping is understood: its entries go along by luo_commit_new()
 *  -EDQUOT  no room for the copies; nothing was changed
 *  -EEXIST  a session of that name is going out already
 *
 * Since: 0.1
 */
int luo_incoming_carry(struct luo_incoming *incoming, uint64_t device_timeout_usec,
		       int **ret_session_fds, size_t *ret_n, size_t *ret_files);

#ifdef __cplusplus
}
#endif

#endif
