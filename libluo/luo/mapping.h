/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUO_MAPPING_H
#define LUO_MAPPING_H

/*
 * The document at token 0 of a session: which unit owns which token under which name.
 *
 * JSON in a memfd. Three generations are read, the newest is written; docs/mapping.md has the
 * format. Everything read is hostile until checked: a bad entry is skipped with a reason, a bad
 * document is refused whole. Keys that we do not know survive a round trip.
 *
 * Functions return 0 on success and a negative errno otherwise; outputs are written on success.
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

/** Who wrote it. */
enum luo_mapping_generation {
	LUO_MAPPING_DRAFT, /**< systemd 261 development: keyed by cgroup path, "fd_index" */
	LUO_MAPPING_V261,  /**< systemd 261: keyed by unit name, "token" */
	LUO_MAPPING_V262,  /**< systemd 262: "version", "state", "units" */
};

/** A moment, in microseconds. */
struct luo_timestamp {
	uint64_t realtime;
	uint64_t monotonic;
};

/** The "state" object: how the machine went down. What is zero is not known. */
struct luo_mapping_state {
	/** Live updates since the last cold boot, as the kernel counted that wrote this: the reader
	 * adds the one that brought it to him. */
	uint64_t kexec_count;
	bool have_kexec_count;
	struct luo_timestamp shutdown_start;
	struct luo_timestamp shutdown_finish;
	struct luo_timestamp shutdown_late_start;
	struct luo_timestamp shutdown_late_finish;
};

/** One thing that was wrong and was skipped. */
struct luo_mapping_issue {
	char *where; /**< "units.a.service.fdstore[3]" */
	char *what;  /**< "token 0 is the mapping itself" */
};

/** A document. Allocated by the library only, which may append fields. */
struct luo_mapping {
	enum luo_mapping_generation generation;
	uint64_t version;
	struct luo_store *store; /**< owned; units with lazy entries */
	struct luo_mapping_state state;
	char **spills; /**< names of further sessions; entry->session is 1 + index of this */
	size_t n_spills;
	struct luo_mapping_issue *issues;
	size_t n_issues;     /**< at most 100 are kept ... */
	size_t n_all_issues; /**< ... of so many */
	char *extra;         /**< unknown top-level keys, as the text of a JSON object; or NULL */
	char *state_extra;   /**< unknown keys of "state" */
};

/** luo_mapping_new() - an empty v262 document with an empty store. Since: 0.1 */
int luo_mapping_new(struct luo_mapping **ret_mapping);

/** luo_mapping_free() - frees it with its store. Takes and returns NULL. Since: 0.1 */
struct luo_mapping *luo_mapping_free(struct luo_mapping *mapping);

/**
 * luo_mapping_parse() - read a document of any generation.
 * @text: @size bytes, need not end with NUL
 * @ret_reason: on failure a sentence why, to be freed with free(); may be NULL
 *
 *  -EBADMSG          not JSON, not an object, or not one of the three forms
 *  -EPROTONOSUPPORT  a version newer than we know
 *  -E2BIG            over one of the limits, or its tree would take more than 256 MiB of memory
 *
 * The caller then holds the session and never finishes it. Since: 0.1
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

/** Flags of luo_mapping_format(). */
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
 * Entries that lie nowhere in the kernel (no token, or no name of a LUO session) are left out:
 * systemd would complain about each. What the reader would refuse is not written: a cgroup path
 * that is not UTF-8, numbers out of range. Bytes of a memfd's name that are not UTF-8 become "?".
 *
 *  -EINVAL  unknown flags, an entry in a session that mapping->spills does not have, a name there
 *           that no session can have, or a packed file of unknown size or with too many extents
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
