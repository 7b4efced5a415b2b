/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The two questions that every program answers. */

#include "common/help.h"

#include <stdio.h>

#include "common/util.h"

bool help_or_version(int argc, char *const argv[], const char *program, const char *help)
{
	if (argc != 2)
		return false;
	if (streq(argv[1], "--help") || streq(argv[1], "-h")) {
		fputs(help, stdout);
		return true;
	}
	if (streq(argv[1], "--version") || streq(argv[1], "-V")) {
		printf("%s " LUO_VERSION "\n", program);
		return true;
	}
	return false;
}
