/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

/* Converts an error of luod to an errno for the program and a sentence for a person. */

#include <stdio.h>

#include "common/json.h"
#include "common/util.h"
#include "libluo/client/internal.h"

static const struct {
	const char *name;
	int error;
} error_table[] = {
	{ "io.luo.NoSuchUnit", -ENOENT },
	{ "io.luo.NoSuchEntry", -ENOENT },
	{ "io.luo.NotPermitted", -EPERM },
	{ "io.luo.UnknownCaller", -ESRCH },
	{ "io.luo.Busy", -EBUSY },
	{ "io.luo.NameTaken", -EEXIST },
	{ "io.luo.NoLiveUpdate", -EOPNOTSUPP },
	{ "io.luo.NoRoom", -EDQUOT },
	{ "io.luo.Lost", -EIO },
	{ "io.luo.NeedsMore", -E2BIG },
	{ "org.varlink.service.InvalidParameter", -EINVAL },
	{ "org.varlink.service.InterfaceNotFound", -ENOSYS },
	{ "org.varlink.service.MethodNotFound", -ENOSYS },
	{ "org.varlink.service.MethodNotImplemented", -ENOSYS },
	{ "org.varlink.service.ExpectedMore", -E2BIG },
	{ "org.varlink.service.PermissionDenied", -EPERM },
};

int luo_client_error_to_errno(const char *name, struct json_object *parameters)
{
	int64_t number;

	for (size_t i = 0; i < ELEMENTSOF(error_table); i++)
		if (streq(error_table[i].name, name))
			return error_table[i].error;
	if (!streq(name, "io.luo.Failed") || !json_get_int(parameters, "errno", &number))
		return -EREMOTEIO;
	/* Accept either sign; 4095 is the kernel's largest errno. */
	if (number < 0 && number >= -4095)
		number = -number;
	return number > 0 && number <= 4095 ? -(int)number : -EREMOTEIO;
}

char *luo_client_error_sentence(const char *name, struct json_object *parameters)
{
	const char *text = json_string(parameters, "text");
	const char *unit = json_string(parameters, "unit"),
		   *entry = json_string(parameters, "name");
	const char *parameter = json_string(parameters, "parameter");
	char *s = NULL;
	int64_t n = 0;
	int r;

	if (text)
		return strdup(text);
	if (streq(name, "io.luo.NoSuchUnit") && unit)
		r = asprintf(&s, "luod does not know the unit \"%s\"", unit);
	else if (streq(name, "io.luo.NoSuchEntry") && unit && entry)
		r = asprintf(&s, "unit \"%s\" has no entry \"%s\"", unit, entry);
	else if (streq(name, "io.luo.Lost") && unit && entry)
		r = asprintf(&s, "the kernel could not restore \"%s\" of unit \"%s\": it is lost",
			     entry, unit);
	else if (streq(name, "io.luo.NeedsMore") && json_get_int(parameters, "entries", &n))
		r = asprintf(&s, "%lld entries are too many for one reply", (long long)n);
	else if (streq(name, "org.varlink.service.InvalidParameter") && parameter)
		r = asprintf(&s, "luod does not accept the parameter \"%s\"", parameter);
	else if (startswith(name, "org.varlink.service."))
		r = asprintf(&s, "luod does not know the method %s; it may have another version",
			     name);
	else
		return NULL;
	return r < 0 ? NULL : s;
}
