/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SPDX-FileCopyrightText: the libluo authors */

#include "tools/luod/managed.h"

#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include <luo/store.h>

#include "common/json.h"
#include "libluo/store/internal.h"
#include "common/util.h"

#define KEY "manager"

static struct json_object *parse_extra(const struct luo_unit *unit)
{
	struct json_object *o = unit->extra ? json_tokener_parse(unit->extra) : NULL;

	if (o && !json_object_is_type(o, json_type_object)) {
		json_object_put(o);
		return NULL;
	}
	return o;
}

bool unit_is_managed(const struct luo_unit *unit)
{
	struct json_object *o, *value;
	bool managed;

	/* Almost no unit has such keys. */
	if (!unit->extra || !strstr(unit->extra, "\"" KEY "\""))
		return false;
	o = parse_extra(unit);
	managed = o && json_object_object_get_ex(o, KEY, &value) &&
		  json_object_is_type(value, json_type_boolean) && json_object_get_boolean(value);
	json_object_put(o);
	return managed;
}

bool unit_is_managed_in(const struct luo_store *store, const char *name)
{
	struct luo_unit *unit = store ? luo_store_find_unit(store, name) : NULL;

	return unit && unit_is_managed(unit);
}

int unit_set_managed(struct luo_unit *unit)
{
	struct json_object *o;
	const char *complete;
	char *text;

	if (unit_is_managed(unit))
		return 0;
	o = parse_extra(unit);
	if (!o)
		o = json_object_new_object();
	if (!o)
		return -ENOMEM;
	json_add_bool(o, KEY, true);
	complete = json_to_text(o);
	text = complete ? strdup(complete) : NULL;
	json_object_put(o);
	if (!text)
		return -ENOMEM;
	free(unit->extra);
	unit->extra = text;
	return 1;
}
