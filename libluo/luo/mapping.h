/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUO_MAPPING_H
#define LUO_MAPPING_H

/*
 * The document at token 0 of a session: which unit owns which token under which name.
 *
 * It is JSON in a memfd. Three generations are read, the newest is written; docs/mapping.md has the
 * format. All input is hostile until it is checked: an invalid entry is skipped with a reason, an
 * invalid document is refused as a whole. Unknown keys survive a round trip.
 *
 * A mapping is opaque. Strings and pointers that a getter returns stay valid until it is freed.
 *
 * Functions that return int return 0 on success and a negative errno on failure. Outputs are
 * written on success only. A getter of a NULL object returns 0 or NULL, or -EINVAL where it can
 * fail.
 *
 * Threads: one mapping and its store may be used by one thread at a time. Fork: the child has its
 * own copy. Signals: not for handlers.
 */

#include <luo/store.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Limits of what is read. */
#define LUO_MAPPING_SIZE_MAX    (UINT64_C(64) << 20) /**< bytes of the document */
#define LUO_MAPPING_DEPTH_MAX   32
#define LUO_MAPPING_UNITS_MAX   4096
#define LUO_MAPPING_ENTRIES_MAX 65536 /**< over all units */
#define LUO_MAPPING_EXTENTS_MAX 4096  /**< of one packed file; with more, the entry is skipped */
#define LUO_MAPPING_SPILLS_MAX  1024

/** The program that wrote it. Later generations may be added. */
enum luo_mapping_generation {
	LUO_MAPPING_DRAFT, /**< systemd 261 development: keyed by cgroup path, "fd_index" */
	LUO_MAPPING_V261,  /**< systemd 261: keyed by unit name, "token" */
	LUO_MAPPING_V262,  /**< systemd 262: "version", "state", "units" */
};

/** A moment, in microseconds, by two clocks. It is complete: it has no size because it never grows.
 */
struct luo_timestamp {
	uint64_t realtime;
	uint64_t monotonic;
};

/** The "state" object: how the machine shut down. Zero means unknown. */
struct luo_mapping_state {
	size_t struct_size; /**< sizeof of this struct, set by the caller; see luo/luo.h */
	/** Live updates since the last cold boot, as counted by the kernel that wrote this. The
	 * reader adds the one that brought the document to it. */
	uint64_t kexec_count;
	bool have_kexec_count;
	struct luo_timestamp shutdown_start;
	struct luo_timestamp shutdown_finish;
	struct luo_timestamp shutdown_late_start;
	struct luo_timestamp shutdown_late_finish;
};

struct luo_mapping;

/** luo_mapping_new() - an empty v262 document with an empty store. Since: 0.1 */
int luo_mapping_new(struct luo_mapping **ret_mapping);

/** luo_mapping_free() - frees it with its store. Takes and returns NULL. Since: 0.1 */
struct luo_mapping *luo_mapping_free(struct luo_mapping *mapping);

/** luo_mapping_get_generation() - what wrote it; LUO_MAPPING_V262 for a new one. Since: 0.1 */
enum luo_mapping_generation luo_mapping_get_generation(const struct luo_mapping *mapping);

/** luo_mapping_get_version() - the "version" of the document. Since: 0.1 */
uint64_t luo_mapping_get_version(const struct luo_mapping *mapping);

/** luo_mapping_get_store() - its units with lazy entries; still the mapping's. Since: 0.1 */
struct luo_store *luo_mapping_get_store(const struct luo_mapping *mapping);

/** luo_mapping_get_state() - how the machine shut down. Since: 0.1 */
int luo_mapping_get_state(const struct luo_mapping *mapping, struct luo_mapping_state *ret_state);

/** luo_mapping_set_state() - what luo_mapping_format() writes as "state". Since: 0.1 */
int luo_mapping_set_state(struct luo_mapping *mapping, const struct luo_mapping_state *state);

/** luo_mapping_n_spills() - the number of sessions beside the main one. Since: 0.1 */
size_t luo_mapping_n_spills(const struct luo_mapping *mapping);

/**
 * luo_mapping_spill_at() - the name of a further session; NULL past the end.
 * @index: from 0; luo_entry_get_session() is 1 + this
 *
 * Since: 0.1
 */
const char *luo_mapping_spill_at(const struct luo_mapping *mapping, size_t index);

/** luo_mapping_n_issues() - how many things were invalid and were skipped. Since: 0.1 */
size_t luo_mapping_n_issues(const struct luo_mapping *mapping);

/**
 * luo_mapping_issue_at() - one of them.
 * @ret_where: "units.a.service.fdstore[3]"; may be NULL
 * @ret_what: "token 0 is the mapping itself"; may be NULL
 *
 * Both are printable ASCII and still the mapping's. The first 100 are described and the others only
 * counted: -ENOENT past these. Since: 0.1
 */
int luo_mapping_issue_at(const struct luo_mapping *mapping, size_t index, const char **ret_where,
			 const char **ret_what);

/**
 * luo_mapping_parse() - read a document of any generation.
 * @text: @size bytes, need not end with NUL
 * @ret_reason: on failure, the reason as a sentence, to be freed with free(); may be NULL
 *
 *  -EBADMSG          not JSON, not an object, or not one of the three forms
 *  -EPROTONOSUPPORT  a version newer than this library knows
 *  -E2BIG            over one of the limits, or its tree would take more than 256 MiB of memory
 *
 * On a failure, hold the session and never finish it. Since: 0.1
 */
int luo_mapping_parse(const char *text, size_t size, struct luo_mapping **ret_mapping,
		      char **ret_reason);

/**
 * luo_mapping_read_fd() - luo_mapping_parse() on what is in a file, from its start.
 * @fd: seekable; its position stays where it is
 *
 * Also any errno of pread(2). Since: 0.1
 */
int luo_mapping_read_fd(int fd, struct luo_mapping **ret_mapping, char **ret_reason);

/** Flags of luo_mapping_format(). More may be added. */
enum luo_mapping_format_flags {
	LUO_MAPPING_FORMAT_PRETTY = 1 << 0,
	LUO_MAPPING_FORMAT_V261 =
		1 << 1, /**< also the keys of v261, so that both versions accept it */
};

/**
 * luo_mapping_format() - write the v262 document, whatever generation was read.
 * @flags: enum luo_mapping_format_flags
 * @ret_text: NUL-terminated, to be freed with free()
 * @ret_size: without the NUL; may be NULL
 *
 * Entries without a token or the name of a LUO session are left out: systemd would complain about
 * each. What the reader would refuse is not written: a cgroup path that is not UTF-8, numbers out
 * of range. Bytes of a memfd's name that are not UTF-8 become "?".
 *
 *  -EINVAL  unknown flags, an entry in a session that the mapping does not have, an invalid name
 *           of a session, or a packed file of unknown size or with too many extents
 *
 * Since: 0.1
 */
int luo_mapping_format(const struct luo_mapping *mapping, unsigned flags, char **ret_text,
		       size_t *ret_size);

/** luo_mapping_generation_to_string() - "draft", "v261" or "v262". Since: 0.1 */
const char *luo_mapping_generation_to_string(enum luo_mapping_generation generation);

#ifdef __cplusplus
}
#endif

#endif
