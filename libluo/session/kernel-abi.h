/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LIBLUO_SESSION_KERNEL_ABI_H
#define LIBLUO_SESSION_KERNEL_ABI_H

/*
 * The ioctls of /dev/liveupdate and of a session fd: numbers and layouts, under names of our own.
 *
 * Most build hosts lack <linux/liveupdate.h>, and that of kernels 6.19 to 7.1 lacks GET_NAME, so
 * the library always uses these definitions. tests/unit/session/test-kernel-abi.c compares them
 * with the header where there is one, and pins every number and size where there is none.
 *
 * Each structure begins with its own size. The kernel accepts a longer one if the part that it does
 * not know is zero (-E2BIG otherwise), and refuses a shorter one (-EINVAL).
 */

#include <stdint.h>
#include <sys/ioctl.h>

#define LUO_ABI_TYPE        0xBA
#define LUO_ABI_NAME_LENGTH 64 /* with the terminating NUL */

/* on the device */
#define LUO_ABI_CREATE_SESSION   _IO(LUO_ABI_TYPE, 0x00)
#define LUO_ABI_RETRIEVE_SESSION _IO(LUO_ABI_TYPE, 0x01)

/* on a session */
#define LUO_ABI_PRESERVE_FD _IO(LUO_ABI_TYPE, 0x40)
#define LUO_ABI_RETRIEVE_FD _IO(LUO_ABI_TYPE, 0x41)
#define LUO_ABI_FINISH      _IO(LUO_ABI_TYPE, 0x42)
#define LUO_ABI_GET_NAME    _IO(LUO_ABI_TYPE, 0x43) /* kernel 7.2 */

/* CREATE_SESSION and RETRIEVE_SESSION */
struct luo_abi_session {
	uint32_t size;
	int32_t fd; /* out */
	uint8_t name[LUO_ABI_NAME_LENGTH];
};

/* PRESERVE_FD (fd goes in) and RETRIEVE_FD (fd comes out) */
struct luo_abi_fd {
	uint32_t size;
	int32_t fd;
	uint64_t token __attribute__((__aligned__(8)));
};

struct luo_abi_finish {
	uint32_t size;
	uint32_t reserved;
};

struct luo_abi_get_name {
	uint32_t size;
	uint32_t reserved;
	uint8_t name[LUO_ABI_NAME_LENGTH]; /* out */
};

#endif
