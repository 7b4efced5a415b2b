/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef LUO_LUO_H
#define LUO_LUO_H

/*
 * Includes every header of libluo. A program that needs one thing includes one header.
 *
 * Errors: a function returns 0 or a positive value on success, and a negative errno otherwise.
 * Outputs come last, are named ret_, and are set only on success. A required pointer that is NULL
 * is -EINVAL. Functions that free take NULL, and return NULL.
 *
 * Structs that a program allocates begin with struct_size. The program sets it to the sizeof of the
 * struct, in options and in results, so that programs and libraries of different age work together:
 *
 *  - A smaller struct is of an older program. The library takes missing options for zero, and
 * writes only the members that the program has.
 *  - A larger struct is of a newer program. Options that the library does not know must be zero;
 *    otherwise the function returns -E2BIG. Results that it does not know become zero.
 *  - A size of 0, or below that of the first version, is -EINVAL.
 *
 * Enums may get new values in later versions; handle unknown ones.
 */

#include <luo/client.h>
#include <luo/fdstore.h>
#include <luo/handover.h>
#include <luo/heap.h>
#include <luo/inspect.h>
#include <luo/mapping.h>
#include <luo/memfd.h>
#include <luo/session.h>
#include <luo/store.h>
#include <luo/version.h>

#endif
