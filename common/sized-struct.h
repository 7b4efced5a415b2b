/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef COMMON_SIZED_STRUCT_H
#define COMMON_SIZED_STRUCT_H

/*
 * Structs that a caller allocates, as openat2(2) has them. Each begins with "size_t struct_size",
 * which the caller sets to its own sizeof. So a struct may grow at its end, and a program and a
 * library of different age understand each other.
 *
 *  options  A smaller size than ours: the rest is zero, which is the default of every member. A
 *           larger one: -E2BIG if a member that we do not know is not zero.
 *  results  At most the caller's size is written; members that we do not know become zero.
 *
 * A size that is less than that of the first version, or 0, is -EINVAL: the caller forgot it. More
 * than SIZED_STRUCT_MAX is -E2BIG: it was never set. A struct must not end with padding, because a
 * new member would fall into it, where an old caller has garbage; test-sized checks that.
 */

#include <stddef.h>

#define SIZED_STRUCT_MAX 4096

/* The size of a struct that ends with @member: of its first version, if nothing came before. */
#define SIZE_UP_TO(type, member) (offsetof(type, member) + sizeof(((type *)NULL)->member))

/*
 * Before any work is done: checks that @caller can be read or written. NULL and a size of less than
 * @first_size are -EINVAL.
 */
int sized_struct_check(const void *caller, size_t first_size);

/* Options: copies from the caller into a struct of our own size @to_size. */
int sized_struct_read(const void *caller, size_t first_size, void *to, size_t to_size);

/* Results: copies from a struct of our own size @from_size to the caller. */
int sized_struct_return(void *caller, size_t first_size, const void *from, size_t from_size);

#endif
