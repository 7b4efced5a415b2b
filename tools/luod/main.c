/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include <stdlib.h>

#include "common/log.h"
#include "tools/luod/luod.h"
#include "tools/luod/options.h"
#include "tools/luod/supervise.h"

int main(int argc, char *argv[])
{
	struct options options;
	int r;

	r = options_parse(argc, argv, &options);
	if (r <= 0)
		return r < 0 ? 2 : EXIT_SUCCESS;
	log_setup(options.supervise ? "luod-supervisor" : "luod", options.log_level);
	r = options.supervise ? supervise(&options, argc, argv) : luod_run(&options);
	return r < 0 ? EXIT_FAILURE : r;
}
