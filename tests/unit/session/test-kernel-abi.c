/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/*
 * luo-abi.h says what the kernel says. Everything is checked when this is compiled; what the build
 * host has of <linux/liveupdate.h> is compared, and the rest is pinned.
 */

#include <luo/session.h>
#include "libluo/session/kernel-abi.h"

#include "tests/unit/helpers.h"

#if defined(__has_include)
#if __has_include(<linux/liveupdate.h>)
#include <linux/liveupdate.h>
#define HAVE_HEADER 1
#endif
#endif

_Static_assert(LUO_ABI_NAME_LENGTH == LUO_SESSION_NAME_MAX + 1, "name");

/* _IO() has neither size nor direction: type 0xBA in the second byte, number in the first. */
_Static_assert(LUO_ABI_CREATE_SESSION == 0xba00, "CREATE_SESSION");
_Static_assert(LUO_ABI_RETRIEVE_SESSION == 0xba01, "RETRIEVE_SESSION");
_Static_assert(LUO_ABI_PRESERVE_FD == 0xba40, "PRESERVE_FD");
_Static_assert(LUO_ABI_RETRIEVE_FD == 0xba41, "RETRIEVE_FD");
_Static_assert(LUO_ABI_FINISH == 0xba42, "FINISH");
_Static_assert(LUO_ABI_GET_NAME == 0xba43, "GET_NAME");

_Static_assert(sizeof(struct luo_abi_session) == 72, "session");
_Static_assert(offsetof(struct luo_abi_session, fd) == 4, "session.fd");
_Static_assert(offsetof(struct luo_abi_session, name) == 8, "session.name");
_Static_assert(sizeof(struct luo_abi_fd) == 16, "fd");
_Static_assert(offsetof(struct luo_abi_fd, fd) == 4, "fd.fd");
_Static_assert(offsetof(struct luo_abi_fd, token) == 8, "fd.token");
_Static_assert(sizeof(struct luo_abi_finish) == 8, "finish");
_Static_assert(sizeof(struct luo_abi_get_name) == 72, "get_name");
_Static_assert(offsetof(struct luo_abi_get_name, name) == 8, "get_name.name");

#ifdef HAVE_HEADER
#define SAME_NUMBER(ours, theirs) _Static_assert((ours) == (theirs), #ours)
#define SAME_FIELD(ours, theirs, field)                                                  \
	_Static_assert(offsetof(struct ours, field) == offsetof(struct theirs, field) && \
			       sizeof(((struct ours *)0)->field) ==                      \
				       sizeof(((struct theirs *)0)->field),              \
		       #ours "." #field)
#define SAME_SIZE(ours, theirs) _Static_assert(sizeof(struct ours) == sizeof(struct theirs), #ours)

SAME_NUMBER(LUO_ABI_NAME_LENGTH, LIVEUPDATE_SESSION_NAME_LENGTH);
SAME_NUMBER(LUO_ABI_CREATE_SESSION, LIVEUPDATE_IOCTL_CREATE_SESSION);
SAME_NUMBER(LUO_ABI_RETRIEVE_SESSION, LIVEUPDATE_IOCTL_RETRIEVE_SESSION);
SAME_NUMBER(LUO_ABI_PRESERVE_FD, LIVEUPDATE_SESSION_PRESERVE_FD);
SAME_NUMBER(LUO_ABI_RETRIEVE_FD, LIVEUPDATE_SESSION_RETRIEVE_FD);
SAME_NUMBER(LUO_ABI_FINISH, LIVEUPDATE_SESSION_FINISH);

SAME_SIZE(luo_abi_session, liveupdate_ioctl_create_session);
SAME_FIELD(luo_abi_session, liveupdate_ioctl_create_session, size);
SAME_FIELD(luo_abi_session, liveupdate_ioctl_create_session, fd);
SAME_FIELD(luo_abi_session, liveupdate_ioctl_create_session, name);
SAME_SIZE(luo_abi_session, liveupdate_ioctl_retrieve_session);
SAME_FIELD(luo_abi_session, liveupdate_ioctl_retrieve_session, fd);
SAME_FIELD(luo_abi_session, liveupdate_ioctl_retrieve_session, name);
SAME_SIZE(luo_abi_fd, liveupdate_session_preserve_fd);
SAME_FIELD(luo_abi_fd, liveupdate_session_preserve_fd, fd);
SAME_FIELD(luo_abi_fd, liveupdate_session_preserve_fd, token);
SAME_SIZE(luo_abi_fd, liveupdate_session_retrieve_fd);
SAME_FIELD(luo_abi_fd, liveupdate_session_retrieve_fd, fd);
SAME_FIELD(luo_abi_fd, liveupdate_session_retrieve_fd, token);
SAME_SIZE(luo_abi_finish, liveupdate_session_finish);
SAME_FIELD(luo_abi_finish, liveupdate_session_finish, reserved);

#ifdef LIVEUPDATE_SESSION_GET_NAME /* 7.2 */
SAME_NUMBER(LUO_ABI_GET_NAME, LIVEUPDATE_SESSION_GET_NAME);
SAME_SIZE(luo_abi_get_name, liveupdate_session_get_name);
SAME_FIELD(luo_abi_get_name, liveupdate_session_get_name, reserved);
SAME_FIELD(luo_abi_get_name, liveupdate_session_get_name, name);
#endif
#endif

static void test_compiled(void **state)
{
#ifdef HAVE_HEADER
	print_message("compared with <linux/liveupdate.h>\n");
#else
	print_message("no <linux/liveupdate.h> here: numbers and sizes pinned only\n");
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compiled),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
