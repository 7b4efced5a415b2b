/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Where the sockets of luod are. */

#include "common/runtime-dir.h"

#include <stdio.h>

#include "common/util.h"

/* As LUO_RUNTIME_DIR in luo/client.h, which nothing in common/ includes; a test compares them. */
#define DEFAULT_DIR "/run/luo"

const char *runtime_dir(void)
{
	const char *directory = secure_getenv("LUO_RUNTIME_DIR");

	return directory && *directory ? directory : DEFAULT_DIR;
}

int runtime_path(const char *name, char **ret_path)
{
	char *path;

	if (asprintf(&path, "%s/%s", runtime_dir(), name) < 0)
		return -ENOMEM;
	*ret_path = path;
	return 0;
}
