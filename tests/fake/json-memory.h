/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef TESTS_FAKE_JSON_MEMORY_H
#define TESTS_FAKE_JSON_MEMORY_H

/*
 * A json-c that runs out of memory: the @n-th of its allocations that our code asks for fails,
 * counted from 1; 0: none does. $LUO_FAIL_JSON_AT sets it for a whole program. Link with
 * json_memory_wraps of tests/fake/meson.build.
 */

/* Starts to count again. */
void json_memory_fail_at(unsigned n);
/* True if the failure has happened. */
bool json_memory_failed(void);

#endif
