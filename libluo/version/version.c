/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* The version at run time. tests/unit/libluo/test-version.c compares it with the header. */

#include <luo/version.h>

#include "common/util.h"

_public_ const char *luo_version(void)
{
	return LUO_VERSION;
}
