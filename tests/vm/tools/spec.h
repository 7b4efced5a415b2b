/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef TEST_SPEC_H
#define TEST_SPEC_H

/*
 * One line says what an entry is, and serves both to make it and, a kernel later, to check it:
 *
 *   NAME SIZE [OPTION...]      a memfd of SIZE bytes (k, m, g) whose content follows from its name
 *     seals=shrink+grow+write+exec+seal   offset=N   append   ro   mode=0640   owner=UID:GID
 *     sparse                   only its first and last page are written
 *     noexec                   made with MFD_NOEXEC_SEAL
 *     tmpfs                    an unlinked file on tmpfs
 *     content=OTHER            the content of the entry OTHER
 *     session                  it lies in a LUO session of the service's own, "test-NAME", under
 *                              token 1, and that session is what is stored
 *   NAME =OTHER [ro]           the same file as OTHER; with ro through another description
 *   NAME !KIND                 something that cannot be preserved: socket pipe eventfd file
 *                              linked-tmpfs directory hugetlb
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum spec_kind { SPEC_MEMFD, SPEC_SAME, SPEC_LOST };

struct spec {
	char name[256];
	char other[256]; /* of SPEC_SAME, or whose content it has */
	char lost[32];   /* of SPEC_LOST */
	enum spec_kind kind;
	uint64_t size;
	unsigned seals;
	int64_t offset; /* -1: do not care */
	bool append, ro, sparse, noexec, tmpfs, session;
	bool have_mode, have_owner;
	mode_t mode;
	uid_t uid;
	gid_t gid;
};

struct spec_list {
	struct spec *specs;
	size_t n;
};

/* Reads lines; '#' begins a comment. Exits with a message if one is wrong: this is a test tool. */
void spec_read(const char *path, struct spec_list *ret);

struct spec *spec_find(const struct spec_list *list, const char *name);

#endif
