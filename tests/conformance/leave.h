/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */
#ifndef CONFORMANCE_LEAVE_H
#define CONFORMANCE_LEAVE_H

/* Tests that leave something behind; conformance_release() lets go of it. */

#include "tests/conformance/tap.h"

enum tap_result leave_files(void);
enum tap_result leave_seals(void);
enum tap_result leave_noexec(void);
enum tap_result leave_shared_anonymous(void);
enum tap_result leave_tmpfs(void);
enum tap_result leave_finish_and_close(void);
enum tap_result leave_a_copy_only(void);
enum tap_result leave_empty_and_dropped(void);
enum tap_result leave_many(void);

#endif
